//! Where bundles live when nobody says otherwise.

use std::ffi::OsString;
use std::path::PathBuf;

use super::BundleError;

/// The directory given, else `$RHUMB_HOME`, else the user's data directory; always absolute, because the hub
/// client and the Python client are handed paths and run elsewhere.
pub(super) fn locate(given: Option<PathBuf>) -> Result<PathBuf, BundleError> {
    let home =
        given.or_else(|| from_environment(&|name| std::env::var_os(name))).ok_or(BundleError::NoHome)?;
    std::path::absolute(&home).map_err(BundleError::io("resolve", &home))
}

/// Reads the variables through `get`, so that tests need not change the environment of the process.
fn from_environment(get: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name: &str| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    path("RHUMB_HOME").or_else(|| data_directory(&path))
}

/// The customary place of the platform.
fn data_directory(path: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if cfg!(windows) {
        return Some(path("LOCALAPPDATA")?.join("rhumb"));
    }
    if cfg!(target_os = "macos") {
        return Some(path("HOME")?.join("Library/Application Support/rhumb"));
    }
    // The XDG specification says to ignore a relative path.
    let data = path("XDG_DATA_HOME").filter(|path| path.is_absolute());
    Some(data.or_else(|| Some(path("HOME")?.join(".local/share")))?.join("rhumb"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        from_environment(&|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn rhumb_home_comes_first_and_an_empty_one_does_not_count() {
        assert_eq!(with(&[("RHUMB_HOME", "/r"), ("HOME", "/h")]), Some(PathBuf::from("/r")));
        assert_eq!(with(&[("RHUMB_HOME", "")]), None);
    }

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn the_data_directory_follows_xdg() {
        assert_eq!(with(&[("HOME", "/h")]), Some(PathBuf::from("/h/.local/share/rhumb")));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_DATA_HOME", "/x")]), Some(PathBuf::from("/x/rhumb")));
        assert_eq!(
            with(&[("HOME", "/h"), ("XDG_DATA_HOME", "x")]),
            Some(PathBuf::from("/h/.local/share/rhumb"))
        );
    }

    #[test]
    fn the_result_is_absolute_and_its_absence_says_what_to_do() {
        assert!(locate(Some("somewhere".into())).unwrap().is_absolute());
        assert!(BundleError::NoHome.to_string().contains("set RHUMB_HOME"));
    }
}
