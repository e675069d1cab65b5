//! A bundle made of another one, with weights of its own.

use super::{Bundle, BundleError, FileSpec, Manifest, Role, digest, manifest, rules};

impl Bundle {
    /// The same bundle under another name and with other weights. Its manifest names no place to fetch it from.
    ///
    /// # Errors
    /// If the name is none, or that of a bundle whose files are fixed by the program.
    pub fn with_weights(&self, name: &str, weights: Vec<u8>) -> Result<Self, BundleError> {
        if !rules::is_name(name) {
            return Err(BundleError::Name { name: name.to_owned() });
        }
        if Manifest::built_in(name).is_some() {
            let reason = "the files of this name are fixed by the program; choose another".to_owned();
            return Err(BundleError::Manifest { origin: name.to_owned(), reason });
        }
        let mut manifest = self.manifest.clone();
        manifest.description = format!("{}, tuned", manifest.description);
        manifest.name = name.to_owned();
        (manifest.source, manifest.wheel) = (None, None);
        for file in manifest.files.iter_mut().filter(|f| f.role == Role::Weights) {
            (file.size, file.sha256) = (weights.len() as u64, digest::of(&weights));
        }
        Ok(Self { manifest, weights, ..self.clone() })
    }

    /// What to write into a folder, by relative path: the manifest and the files.
    ///
    /// # Errors
    /// If the manifest cannot be written as text.
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
        let bytes = |file: &FileSpec| match file.role {
            Role::Weights => self.weights.clone(),
            Role::Tokenizer => self.tokenizer.clone(),
            Role::Config => self.config.clone(),
        };
        let mut files = vec![(manifest::FILE_NAME.to_owned(), self.manifest.to_text()?.into_bytes())];
        files.extend(self.manifest.files.iter().map(|file| (file.path.clone(), bytes(file))));
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use crate::bundle::{import, testing};

    #[test]
    fn what_is_made_of_a_bundle_can_be_imported_and_loaded() {
        let (home, store, _) = testing::store_with_tiny();
        let made = store.load("tiny").unwrap().with_weights("other", b"tuned".to_vec()).unwrap();
        let folder = home.path().join("made");
        std::fs::create_dir(&folder).unwrap();
        for (path, bytes) in made.files().unwrap() {
            std::fs::write(folder.join(path), bytes).unwrap();
        }
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
            assert!(tiny.with_weights(name, Vec::new()).is_err(), "{name}");
        }
    }
}
