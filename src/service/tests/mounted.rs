//! Keys and credentials in mounted Secrets: the kubelet writes a new folder and turns the link
//! `..data` to it.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::token::signer::new_pem;

/// Longer than files are left unread.
const A_WHILE: Duration = Duration::from_secs(6);

/// A mounted Secret.
struct Mount {
    dir: tempfile::TempDir,
    versions: usize,
}

impl Mount {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut mount = Self { dir: tempfile::tempdir().unwrap(), versions: 0 };
        mount.publish(files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), mount.path(name)).unwrap();
        }
        mount
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Replaces all files at once, and takes the earlier ones away.
    fn publish(&mut self, files: &[(&str, &str)]) {
        self.versions += 1;
        let version = format!("..{}", self.versions);
        fs::create_dir(self.path(&version)).unwrap();
        for (name, text) in files {
            fs::write(self.path(&version).join(name), text).unwrap();
        }
        symlink(&version, self.path("..data_tmp")).unwrap();
        fs::rename(self.path("..data_tmp"), self.path("..data")).unwrap();
        if self.versions > 1 {
            fs::remove_dir_all(self.path(&format!("..{}", self.versions - 1))).unwrap();
        }
    }
}

fn kid(state: &State) -> String {
    state.current().unwrap().signing.kid().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_mounted_secret_is_read_again_when_its_link_is_turned() {
    let (a, b) = (new_pem(), new_pem());
    let credentials = |user, password| [("basic-auth-user", user), ("basic-auth-password", password)];
    let mut keys = Mount::new(&[("issuer.key", &a)]);
    let mut secret = Mount::new(&credentials("admin", "old"));
    let path = keys.path("issuer.key");

    let signing = load_signing_keys(std::slice::from_ref(&path)).unwrap();
    let state = Arc::new(State::new(OURS.into(), Arc::new(signing)));
    state.publish_objects(bundle(""));
    let gateway = Arc::new(GatewayCredentials::load(secret.dir.path()).unwrap());
    let loaded = watch::contents(std::slice::from_ref(&path));
    let task = watch::files(vec![path], loaded, Arc::clone(&state), Some(Arc::clone(&gateway)));
    let task = tokio::spawn(task);
    let (old_kid, old) = (kid(&state), gateway.authorization());
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((kid(&state), gateway.authorization()), (old_kid.clone(), old.clone()));

    keys.publish(&[("issuer.key", &b)]);
    secret.publish(&credentials("admin", "new"));
    tokio::time::sleep(A_WHILE).await;
    let (new_kid, new) = (kid(&state), gateway.authorization());
    assert_ne!(new_kid, old_kid);
    assert_ne!(new, old);

    // A version that cannot be used: what was read before stays in force.
    keys.publish(&[("issuer.key", "no key")]);
    secret.publish(&[("basic-auth-user", "admin")]);
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((kid(&state), gateway.authorization()), (new_kid, new));
    keys.publish(&[("issuer.key", &a)]);
    secret.publish(&credentials("admin", "old"));
    tokio::time::sleep(A_WHILE).await;
    assert_eq!((kid(&state), gateway.authorization()), (old_kid, old));
    task.abort();
}
