//! A bundle made of another one, with weights of its own.

use std::fs;
use std::path::Path;

use super::{Bundle, BundleError, Manifest, Role, digest, manifest, rules};

impl Bundle {
    /// The same bundle under another name and with other weights, of which `what` says what was done. Its manifest names no
    /// place to fetch it from.
    ///
    /// # Errors
    /// If the name is none, or that of a bundle whose files are fixed by the program.
    pub fn with_weights(&self, name: &str, what: &str, weights: Vec<u8>) -> Result<Self, BundleError> {
        if !rules::is_name(name) {
            return Err(BundleError::Name { name: name.to_owned() });
        }
        if Manifest::built_in(name).is_some() {
            let reason = "the files of this name are fixed by the program; choose another".to_owned();
            return Err(BundleError::Manifest { origin: name.to_owned(), reason });
        }
        let mut manifest = self.manifest.clone();
        manifest.description = format!("{}, {what}", manifest.description);
        manifest.name = name.to_owned();
        (manifest.source, manifest.wheel, manifest.rounded_from) = (None, None, None);
        for file in &mut manifest.files {
            // Flat, so that whoever writes the files need make no folders.
            file.path = file.path.rsplit('/').next().unwrap_or_default().to_owned();
            if file.role == Role::Weights {
                (file.size, file.sha256) = (weights.len() as u64, digest::of(&weights));
            }
        }
        Ok(Self { manifest, weights, ..self.clone() })
    }

    /// Writes manifest and files into a folder, to be installed with [`import`](super::import).
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn write(&self, folder: &Path) -> Result<(), BundleError> {
        fs::create_dir_all(folder).map_err(BundleError::io("create", folder))?;
        let put = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            fs::write(&path, bytes).map_err(BundleError::io("write", &path))
        };
        for file in &self.manifest.files {
            let bytes = match file.role {
                Role::Weights => &self.weights,
                Role::Tokenizer => &self.tokenizer,
                Role::Config => &self.config,
            };
            put(&file.path, bytes)?;
        }
        put(manifest::FILE_NAME, self.manifest.to_text()?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use crate::bundle::{import, testing};

    #[test]
    fn what_is_made_of_a_bundle_can_be_imported_and_loaded() {
        let (home, store, _) = testing::store_with_tiny();
        let made = store.load("tiny").unwrap().with_weights("other", "tuned", b"tuned".to_vec()).unwrap();
        let folder = home.path().join("made");
        made.write(&folder).unwrap();
        assert_eq!(import(&store, &folder).unwrap().name, "other");
        let loaded = store.load("other").unwrap();
        assert_eq!(loaded.weights, b"tuned");
        assert_ne!(loaded.manifest.digest(), store.load("tiny").unwrap().manifest.digest());
    }

    #[test]
    fn a_fixed_bundle_gets_no_other_weights() {
        let (_home, store, _) = testing::store_with_tiny();
        let tiny = store.load("tiny").unwrap();
        for name in ["minilm", "../up", ""] {
            assert!(tiny.with_weights(name, "tuned", Vec::new()).is_err(), "{name}");
        }
    }
}
