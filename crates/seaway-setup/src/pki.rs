//! Keys and certificates: made, and read again.

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use sha2::{Digest, Sha256};
use x509_parser::{extensions::GeneralName, pem::Pem, prelude::X509Certificate};

use crate::{Error, Result};

/// How long an authority is valid, in years.
const AUTHORITY_YEARS: i64 = 10;
/// How long a server's certificate is valid, in years.
const SERVER_YEARS: i64 = 1;

fn failed(step: &'static str, what: &'static str) -> impl FnOnce(rcgen::Error) -> Error {
    move |error| Error::Crypto {
        step,
        what,
        reason: error.to_string(),
    }
}

/// A new private key, as PEM.
pub(crate) fn new_key(step: &'static str) -> Result<String> {
    Ok(KeyPair::generate()
        .map_err(failed(step, "a key"))?
        .serialize_pem())
}

/// Eight digits that stand for a key, and for nothing that is secret of it.
pub(crate) fn fingerprint(step: &'static str, key: &str) -> Result<String> {
    let key = KeyPair::from_pem(key).map_err(failed(step, "a fingerprint of the key"))?;
    Ok(hex::encode(&Sha256::digest(key.subject_public_key_info())[..4]))
}

/// A request for a certificate of this user, as PEM.
pub(crate) fn signing_request(
    step: &'static str,
    key: &str,
    user: &str,
    groups: &[String],
) -> Result<String> {
    let key = KeyPair::from_pem(key).map_err(failed(step, "a request with the key"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for group in groups {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group.as_str());
    }
    params.distinguished_name.push(DnType::CommonName, user);
    let request = params
        .serialize_request(&key)
        .map_err(failed(step, "a request"))?;
    request.pem().map_err(failed(step, "a request"))
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
    /// Names and addresses of a server.
    pub(crate) hosts: Vec<String>,
    pub(crate) from: i64,
    pub(crate) until: i64,
    public_key: Vec<u8>,
}

impl Facts {
    /// What the first certificate of a PEM text says; `None` when it is none.
    pub(crate) fn read(pem: &[u8]) -> Option<Self> {
        let pem = Pem::iter_from_buffer(pem).next()?.ok()?;
        let certificate = pem.parse_x509().ok()?;
        let texts = |names: &mut dyn Iterator<Item = &x509_parser::x509::AttributeTypeAndValue<'_>>| {
            names
                .filter_map(|name| name.as_str().ok().map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let subject = certificate.subject();
        Some(Self {
            user: texts(&mut subject.iter_common_name()).pop().unwrap_or_default(),
            groups: texts(&mut subject.iter_organization()),
            hosts: hosts(&certificate),
            from: certificate.validity().not_before.timestamp(),
            until: certificate.validity().not_after.timestamp(),
            public_key: certificate.public_key().raw.to_vec(),
        })
    }

    /// Whether it is the certificate of this key.
    pub(crate) fn belongs_to(&self, key: &str) -> bool {
        KeyPair::from_pem(key).is_ok_and(|key| key.subject_public_key_info() == self.public_key)
    }

    /// Whether more than a third of its time is left.
    pub(crate) fn lasts(&self, now: Timestamp) -> bool {
        self.until.saturating_sub(now.as_second()) > self.until.saturating_sub(self.from) / 3
    }

    /// The end of it, in words.
    pub(crate) fn end(&self) -> String {
        Timestamp::from_second(self.until).map_or_else(|_| "some day".to_owned(), |end| end.to_string())
    }
}

fn hosts(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    let address = |bytes: &[u8]| {
        if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
            return Some(std::net::IpAddr::from(bytes).to_string());
        }
        Some(std::net::IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?).to_string())
    };
    let names = names.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .collect()
}

/// A certificate with its key, both as PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// Valid from yesterday, for clocks that go wrong, for so many years.
fn validity(params: &mut CertificateParams, years: i64) {
    let day = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(
            i32::from(date.year()),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    params.not_before = day(today.saturating_sub(1.day()));
    params.not_after = day(today.saturating_add(years.years()));
}

/// An authority for one server.
pub(crate) fn authority(step: &'static str, name: &str) -> Result<Pair> {
    let key = KeyPair::generate().map_err(failed(step, "a key"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // It signs servers and no other authorities.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut params, AUTHORITY_YEARS);
    let certificate = params.self_signed(&key).map_err(failed(step, "an authority"))?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

/// A server's certificate by an authority.
pub(crate) fn server(step: &'static str, authority: &Pair, hosts: &[String]) -> Result<Pair> {
    let issuer = KeyPair::from_pem(&authority.key)
        .and_then(|key| Issuer::from_ca_cert_pem(&authority.certificate, key))
        .map_err(failed(step, "a certificate by the authority"))?;
    let key = KeyPair::generate().map_err(failed(step, "a key"))?;
    let mut params = CertificateParams::new(hosts).map_err(failed(step, "a certificate for these hosts"))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(
        DnType::CommonName,
        hosts.first().map_or("registry", String::as_str),
    );
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    validity(&mut params, SERVER_YEARS);
    let certificate = params
        .signed_by(&key, &issuer)
        .map_err(failed(step, "a certificate"))?;
    Ok(Pair {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_s_certificate_says_what_was_asked_for() {
        let authority = authority("test", "an authority").unwrap();
        let hosts = [
            "registry.test".to_owned(),
            "10.0.0.1".to_owned(),
            "fd00::1".to_owned(),
        ];
        let server = server("test", &authority, &hosts).unwrap();
        let facts = Facts::read(server.certificate.as_bytes()).unwrap();
        assert_eq!(facts.hosts, hosts);
        assert!(facts.belongs_to(&server.key) && !facts.belongs_to(&authority.key));
        assert!(facts.lasts(Timestamp::now()));
        assert!(!facts.lasts(Timestamp::from_second(facts.until - (facts.until - facts.from) / 3).unwrap()));
        assert_eq!(Facts::read(b"no certificate"), None);
    }

    #[test]
    fn the_fingerprint_is_of_the_key_and_the_request_of_user_and_groups() {
        let (key, other) = (new_key("test").unwrap(), new_key("test").unwrap());
        assert_eq!(
            fingerprint("test", &key).unwrap(),
            fingerprint("test", &key).unwrap()
        );
        assert_ne!(
            fingerprint("test", &key).unwrap(),
            fingerprint("test", &other).unwrap()
        );
        let request = signing_request("test", &key, "me", &["us".into(), "them".into()]).unwrap();
        let read = rcgen::CertificateSigningRequestParams::from_pem(&request).unwrap();
        let name = &read.params.distinguished_name;
        assert_eq!(name.get(&DnType::CommonName), Some(&"me".into()));
    }
}
