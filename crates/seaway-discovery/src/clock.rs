//! The clock of a server, as far as its answers tell it.
//!
//! Leases of one directory are written and judged by many machines. Their clocks may differ, so times are written and
//! judged as the server's clock has it: every answer has a `Date` header, to the second, and what several answers say
//! together is more precise. As long as this machine's clock agrees with all of them it is taken to be right.

use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};

/// How far the server's clock may be before this machine's, in milliseconds: at least, at most.
type Bounds = (i64, i64);

/// What is known of a server's clock.
#[derive(Debug, Default)]
pub(crate) struct ServerClock {
    bounds: Mutex<Option<Bounds>>,
}

impl ServerClock {
    /// Learns from the `Date` header of an answer to a request that was sent and answered at these times here. What is
    /// no date says nothing.
    pub(crate) fn observe(&self, sent: Timestamp, received: Timestamp, date: &str) {
        let Ok(date) = DateTimeParser::new().parse_timestamp(date) else {
            return;
        };
        let date = date.as_millisecond();
        // The server wrote it while it had the request, and cut off parts of a second.
        let seen = (
            date.saturating_sub(received.as_millisecond()),
            date.saturating_add(1000).saturating_sub(sent.as_millisecond()),
        );
        let mut bounds = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        *bounds = Some(match *bounds {
            Some((low, high)) if seen.0.max(low) <= seen.1.min(high) => (seen.0.max(low), seen.1.min(high)),
            // The first one; or one of the clocks has been set since.
            _ => seen,
        });
    }

    /// How far the server's clock is before this machine's; negative when it is behind.
    pub(crate) fn offset(&self) -> SignedDuration {
        let bounds = self.bounds.lock().unwrap_or_else(PoisonError::into_inner);
        let millis = match *bounds {
            Some((low, _)) if low > 0 => low,
            Some((_, high)) if high < 0 => high,
            _ => 0,
        };
        SignedDuration::from_millis(millis)
    }

    /// The time there now.
    pub(crate) fn now(&self) -> Timestamp {
        self.to_server(Timestamp::now())
    }

    /// A time of this machine as the server has it.
    pub(crate) fn to_server(&self, local: Timestamp) -> Timestamp {
        local.checked_add(self.offset()).unwrap_or(local)
    }

    /// A time of the server as this machine has it.
    pub(crate) fn to_local(&self, there: Timestamp) -> Timestamp {
        there.checked_sub(self.offset()).unwrap_or(there)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn date(millis: i64) -> String {
        let whole = at(millis.div_euclid(1000) * 1000);
        jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&whole)
            .unwrap()
    }

    #[test]
    fn a_clock_that_agrees_is_right_and_one_that_does_not_is_followed() {
        let clock = ServerClock::default();
        assert_eq!(clock.offset(), SignedDuration::ZERO);
        clock.observe(at(1_000_900), at(1_001_100), &date(1_001_000));
        assert_eq!(clock.offset(), SignedDuration::ZERO);
        // An hour before us.
        clock.observe(at(2_000_000), at(2_000_010), &date(2_000_005 + 3_600_000));
        let offset = clock.offset().as_millis();
        assert!((3_598_990..=3_600_000).contains(&offset), "{offset}");
        assert_eq!(clock.to_local(clock.to_server(at(5_000_000))), at(5_000_000));
        clock.observe(at(0), at(0), "soon");
        assert_eq!(clock.offset().as_millis(), offset);
    }

    proptest! {
        #[test]
        fn several_answers_are_never_further_off_than_a_second(
            offset in -100_000i64..100_000,
            asked in prop::collection::vec((0i64..1_000_000, 0i64..50, 0i64..50), 1..20),
        ) {
            let clock = ServerClock::default();
            for (sent, there, back) in asked {
                let sent = 10_000_000 + sent;
                clock.observe(at(sent), at(sent + there + back), &date(sent + there + offset));
            }
            prop_assert!((clock.offset().as_millis() - i128::from(offset)).abs() <= 1100);
        }
    }
}
