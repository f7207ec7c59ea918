//! Quantities as Kubernetes writes them (`512Mi`, `500m`, `1.5`), with one parser for all of them.
//!
//! A quantity is parsed exactly: the number is kept as an integer of thousandths until the unit is applied, so
//! that no amount of memory is off by a rounding of floating point (or, as in the ARL's start script, by 10^6).

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuantityError {
    /// No digits where a number is expected.
    #[error("`{text}` is not {what}: write it like {examples}")]
    Syntax {
        /// The text given.
        text: String,
        /// The kind of quantity expected.
        what: &'static str,
        /// Examples of right ones.
        examples: &'static str,
    },
    /// A unit that this kind of quantity does not have.
    #[error("`{text}` is not {what}: it has no unit `{unit}`; units are {units}")]
    Unit {
        /// The text given.
        text: String,
        /// The kind of quantity expected.
        what: &'static str,
        /// The unit given.
        unit: String,
        /// The units there are.
        units: &'static str,
    },
    /// Below zero, or zero where something is needed.
    #[error("`{text}` is not {what}: it must be at least {minimum}")]
    TooSmall {
        /// The text given.
        text: String,
        /// The kind of quantity expected.
        what: &'static str,
        /// The smallest one.
        minimum: &'static str,
    },
    /// More than any machine has.
    #[error("`{text}` is not {what}: it must be at most {maximum}")]
    TooLarge {
        /// The text given.
        text: String,
        /// The kind of quantity expected.
        what: &'static str,
        /// The largest one.
        maximum: &'static str,
    },
}

/// One kind of quantity: what the parser needs to know of it.
struct Kind {
    what: &'static str,
    examples: &'static str,
    units: &'static str,
    /// Units with their worth in thousandths of the base unit.
    table: &'static [(&'static str, u128)],
    minimum: (u64, &'static str),
    maximum: (u64, &'static str),
    /// How many thousandths of the table's base one stored unit is.
    stored: u128,
}

/// Digits kept behind the decimal point; more than Kubernetes itself keeps.
const DECIMALS: usize = 9;
const SCALE: u128 = 1_000_000_000;

/// The one parser: sign, digits, point, digits, unit.
fn parse(text: &str, kind: &Kind) -> Result<u64, QuantityError> {
    let syntax = || QuantityError::Syntax {
        text: shorten(text),
        what: kind.what,
        examples: kind.examples,
    };
    let too_large = || QuantityError::TooLarge {
        text: shorten(text),
        what: kind.what,
        maximum: kind.maximum.1,
    };
    let too_small = || QuantityError::TooSmall {
        text: shorten(text),
        what: kind.what,
        minimum: kind.minimum.1,
    };

    let trimmed = text.trim();
    let (negative, rest) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let end = rest
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(rest.len());
    let (number, unit) = rest.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(syntax());
    }
    if negative {
        return Err(too_small());
    }
    let unit = unit.trim();
    let worth = kind
        .table
        .iter()
        .find_map(|(name, worth)| (*name == unit).then_some(*worth))
        .ok_or_else(|| QuantityError::Unit {
            text: shorten(text),
            what: kind.what,
            unit: shorten(unit),
            units: kind.units,
        })?;
    let whole = whole.trim_start_matches('0');
    if whole.len() > 20 {
        return Err(too_large());
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| syntax())?
    };
    let mut digits = fraction.chars().take(DECIMALS).collect::<String>();
    while digits.len() < DECIMALS {
        digits.push('0');
    }
    let fraction: u128 = digits.parse().map_err(|_| syntax())?;
    // Rounded up, as Kubernetes does: a request is never silently made smaller.
    let value = (whole * SCALE + fraction)
        .checked_mul(worth)
        .map(|scaled| scaled.div_ceil(SCALE * kind.stored))
        .and_then(|value| u64::try_from(value).ok())
        .ok_or_else(too_large)?;
    if value < kind.minimum.0 {
        return Err(too_small());
    }
    if value > kind.maximum.0 {
        return Err(too_large());
    }
    Ok(value)
}

/// A text short enough to stand in a message.
fn shorten(text: &str) -> String {
    if text.chars().count() <= 40 {
        text.to_owned()
    } else {
        text.chars().take(40).chain(['…']).collect()
    }
}

const KI: u128 = 1024;
const THOUSANDTHS: u128 = 1000;

const MEMORY: Kind = Kind {
    what: "an amount of memory",
    examples: "`512Mi`, `2Gi` or `1500M`",
    units: "Ki, Mi, Gi, Ti (powers of 1024), k, M, G, T (powers of 1000) or none (bytes)",
    table: &[
        ("", THOUSANDTHS),
        ("k", 1_000 * THOUSANDTHS),
        ("M", 1_000_000 * THOUSANDTHS),
        ("G", 1_000_000_000 * THOUSANDTHS),
        ("T", 1_000_000_000_000 * THOUSANDTHS),
        ("Ki", KI * THOUSANDTHS),
        ("Mi", KI * KI * THOUSANDTHS),
        ("Gi", KI * KI * KI * THOUSANDTHS),
        ("Ti", KI * KI * KI * KI * THOUSANDTHS),
    ],
    minimum: (1 << 20, "1Mi"),
    maximum: (1 << 50, "1024Ti"),
    stored: THOUSANDTHS,
};

const CPU: Kind = Kind {
    what: "an amount of CPU",
    examples: "`2`, `1.5` or `500m`",
    units: "m (thousandths of a core) or none (cores)",
    table: &[("", THOUSANDTHS), ("m", 1)],
    minimum: (1, "1m"),
    maximum: (100_000_000, "100000 cores"),
    stored: 1,
};

const PERIOD: Kind = Kind {
    what: "a duration",
    examples: "`30s`, `5m` or `250ms`",
    units: "ms, s, m, h, d or none (seconds)",
    table: &[
        ("", THOUSANDTHS),
        ("ms", 1),
        ("s", THOUSANDTHS),
        ("m", 60 * THOUSANDTHS),
        ("h", 3_600 * THOUSANDTHS),
        ("d", 86_400 * THOUSANDTHS),
    ],
    minimum: (1, "1ms"),
    maximum: (366 * 86_400_000, "366d"),
    stored: 1,
};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl FromStr for $name {
            type Err = QuantityError;

            fn from_str(text: &str) -> Result<Self, QuantityError> {
                parse(text, &$kind).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "{} like {}", $kind.what, $kind.examples)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_f64<E: de::Error>(self, number: f64) -> Result<$name, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({
                    "type": ["string", "number"],
                    "description": format!("{}, for example {}", $kind.what, $kind.examples),
                    "pattern": $pattern
                })
            }
        }
    };
}

quantity!(
    /// An amount of memory, in bytes; from 1Mi to 1024Ti.
    ///
    /// ```
    /// # use seaway_model::Memory;
    /// assert_eq!("512Mi".parse::<Memory>().unwrap().bytes(), 536_870_912);
    /// assert_eq!("1.5Gi".parse::<Memory>().unwrap().to_string(), "1536Mi");
    /// ```
    Memory,
    MEMORY,
    r"^[0-9]+(\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$"
);

quantity!(
    /// An amount of CPU, in thousandths of a core.
    ///
    /// ```
    /// # use seaway_model::Cpu;
    /// assert_eq!("1.5".parse::<Cpu>().unwrap().millis(), 1500);
    /// ```
    Cpu,
    CPU,
    r"^[0-9]+(\.[0-9]+)?m?$"
);

quantity!(
    /// A span of time, in milliseconds.
    ///
    /// ```
    /// # use seaway_model::Period;
    /// assert_eq!("1.5m".parse::<Period>().unwrap().duration().as_secs(), 90);
    /// ```
    Period,
    PERIOD,
    r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)?$"
);

impl Memory {
    /// So many MiB; at least one.
    #[must_use]
    pub const fn from_mebibytes(amount: u16) -> Self {
        let amount = if amount == 0 { 1 } else { amount as u64 };
        Self(amount << 20)
    }

    /// The amount in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// `percent` hundredths of the amount in bytes, rounded down: 80 % of 512Mi is 429,496,729.
    #[must_use]
    pub const fn percent(self, percent: u64) -> u64 {
        // Divided first where the product would not fit; at that size the remainder does not matter.
        match self.0.checked_mul(percent) {
            Some(product) => product / 100,
            None => self.0 / 100 * percent,
        }
    }
}

impl Cpu {
    /// So many thousandths of a core; at least one.
    #[must_use]
    pub const fn from_millis(amount: u16) -> Self {
        Self(if amount == 0 { 1 } else { amount as u64 })
    }

    /// The amount in thousandths of a core.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole cores, rounded up: the number of threads that can be busy at once.
    #[must_use]
    pub const fn cores_rounded_up(self) -> u64 {
        self.0.div_ceil(1000)
    }
}

impl Period {
    /// A period of whole seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1000)
    }

    /// A period of milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// As the standard library's duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

/// The largest unit that divides a value without remainder, and how many of it there are.
fn in_units(value: u64, units: &[(&'static str, u64)]) -> String {
    units
        .iter()
        .rev()
        .find(|(_, worth)| value.is_multiple_of(*worth) && value >= *worth)
        .map_or_else(
            || value.to_string(),
            |(unit, worth)| format!("{}{unit}", value / worth),
        )
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: &[(&str, u64)] = &[
            ("", 1),
            ("Ki", 1 << 10),
            ("Mi", 1 << 20),
            ("Gi", 1 << 30),
            ("Ti", 1 << 40),
        ];
        f.pad(&in_units(self.0, UNITS))
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&in_units(self.0, &[("m", 1), ("", 1000)]))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&in_units(
            self.0,
            &[
                ("ms", 1),
                ("s", 1000),
                ("m", 60_000),
                ("h", 3_600_000),
                ("d", 86_400_000),
            ],
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_memory_of_the_arl_worker() {
        // facts/field.md 1.5 #1: the ARL's script passed 429496729e6.
        assert_eq!("512Mi".parse::<Memory>().unwrap().percent(80), 429_496_729);
    }

    #[test]
    fn refuses_with_a_reason() {
        let memory = |text: &str| text.parse::<Memory>().unwrap_err().to_string();
        assert!(memory("-1Gi").contains("at least 1Mi"));
        assert!(memory("0").contains("at least 1Mi"));
        assert!(memory("99999999999999999999999Gi").contains("at most 1024Ti"));
        assert!(memory("5Pi").contains("no unit `Pi`"));
        assert!(memory("much").contains("write it like `512Mi`"));
        assert!(memory("1.2.3Gi").contains("write it like"));
        assert!(memory("1e300").contains("no unit `e300`"));
        assert!(
            "0".parse::<Cpu>()
                .unwrap_err()
                .to_string()
                .contains("at least 1m")
        );
        assert!(
            "2x".parse::<Period>()
                .unwrap_err()
                .to_string()
                .contains("units are ms, s")
        );
    }

    #[test]
    fn numbers_without_quotes_are_quantities_too() {
        assert_eq!(serde_json::from_str::<Cpu>("1.5").unwrap().millis(), 1500);
        assert_eq!(serde_json::from_str::<Cpu>("2").unwrap().millis(), 2000);
        assert_eq!(
            serde_json::from_str::<Period>("30").unwrap(),
            Period::from_secs(30)
        );
        assert!(serde_json::from_str::<Cpu>("-1").is_err());
        assert!(serde_json::from_str::<Cpu>("true").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}") {
            let _ = text.parse::<Memory>();
            let _ = text.parse::<Cpu>();
            let _ = text.parse::<Period>();
        }

        #[test]
        fn what_is_shown_is_read_back(bytes in (1u64 << 20)..(1 << 50), millis in 1u64..100_000_000) {
            prop_assert_eq!(Memory(bytes).to_string().parse::<Memory>().unwrap().bytes(), bytes);
            prop_assert_eq!(Cpu(millis).to_string().parse::<Cpu>().unwrap().millis(), millis);
            prop_assert_eq!(Period(millis).to_string().parse::<Period>().unwrap().0, millis);
        }

        #[test]
        fn units_agree(gibibytes in 1u64..1000) {
            let by = |unit: &str, n: u64| format!("{n}{unit}").parse::<Memory>().unwrap().bytes();
            prop_assert_eq!(by("Gi", gibibytes), by("Mi", gibibytes * 1024));
            prop_assert_eq!(by("Gi", gibibytes), by("", gibibytes << 30));
        }
    }
}
