use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;

struct Files(tempfile::TempDir);

impl Files {
    /// A server's certificate of a new authority, whose own certificate is there, too.
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.issue("tls.crt", "tls.key");
        files.issue("other.crt", "other.key");
        files
    }

    fn issue(&self, cert: &str, key: &str) {
        let mut params = CertificateParams::new(vec!["authority".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let own = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["faas-iam.openfaas".to_owned()]).unwrap();
        let issued = params.signed_by(&own, &authority).unwrap();
        fs::write(self.0.path().join("ca.crt"), authority.pem()).unwrap();
        fs::write(self.0.path().join(cert), issued.pem()).unwrap();
        fs::write(self.0.path().join(key), own.serialize_pem()).unwrap();
    }

    fn named(&self, cert: &str, key: &str, client_ca: Option<&str>) -> TlsFiles {
        let path = |name: &str| self.0.path().join(name);
        TlsFiles {
            cert: path(cert),
            key: path(key),
            client_ca: client_ca.map(path),
            client_names: Vec::new(),
        }
    }

    fn copy(&self, from: &str, to: &str) {
        fs::copy(self.0.path().join(from), self.0.path().join(to)).unwrap();
    }
}

#[test]
fn what_cannot_be_used_is_named_with_its_flag() {
    let files = Files::new();
    fs::write(files.0.path().join("empty"), "").unwrap();
    for (cert, key, client_ca, told) in [
        ("missing", "tls.key", None, "--grpc-tls-cert "),
        ("empty", "tls.key", None, "no certificate in it"),
        ("tls.key", "tls.key", None, "no certificate in it"),
        ("tls.crt", "empty", None, "no private key in PEM"),
        ("tls.crt", "tls.crt", None, "no private key in PEM"),
        ("tls.crt", "other.key", None, "do not go together"),
        ("tls.crt", "tls.key", Some("missing"), "--grpc-tls-client-ca "),
        ("tls.crt", "tls.key", Some("empty"), "--grpc-tls-client-ca "),
    ] {
        let error = format!("{:#}", Tls::load(files.named(cert, key, client_ca)).unwrap_err());
        assert!(error.contains(told), "{cert} {key} {client_ca:?}: {error}");
    }
    Tls::load(files.named("tls.crt", "tls.key", Some("ca.crt"))).unwrap();
}

#[test]
fn a_bad_change_keeps_what_was_in_force_and_a_good_one_retires_it() {
    let files = Files::new();
    let tls = Tls::load(files.named("tls.crt", "tls.key", Some("ca.crt"))).unwrap();
    let (_, first) = tls.acceptor();
    assert!(!tls.reload().unwrap());
    let key = fs::read(files.0.path().join("tls.key")).unwrap();
    let shown = format!("{:?}", tls.seen);
    assert!(!shown.contains(&format!("{:?}", &key[40..60]).replace(['[', ']'], "")), "the key is shown");
    // The certificate has changed, its key not yet.
    files.copy("other.crt", "tls.crt");
    assert!(format!("{:#}", tls.reload().unwrap_err()).contains("do not go together"));
    assert!(!first.is_cancelled());
    files.copy("other.key", "tls.key");
    assert!(tls.reload().unwrap());
    assert!(first.is_cancelled() && !tls.acceptor().1.is_cancelled());
    assert!(!tls.reload().unwrap());
}
