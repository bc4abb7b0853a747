//! The files of the repository: those that git knows or would add, or, without git, all that are not build products.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace and a way to read its files.
pub(crate) struct Repository {
    pub(crate) root: PathBuf,
}

/// Build products and caches, for the case that there is no git to ask.
const SKIPPED_FOLDERS: [&str; 6] = [".git", ".venv", "target", "dist", "demo-data", "__pycache__"];

impl Repository {
    /// The workspace that this program was built from.
    pub(crate) fn find() -> Result<Repository, String> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here.parent().ok_or("xtask has no parent folder")?;
        Ok(Repository { root: root.to_path_buf() })
    }

    /// Paths relative to the root, with `/`, sorted.
    pub(crate) fn files(&self) -> Result<Vec<String>, String> {
        let mut files = match self.files_from_git() {
            Some(files) => files,
            None => self.files_from_walk()?,
        };
        // A file that was deleted but not yet committed is still listed by git.
        files.retain(|path| self.root.join(path).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// The text of a file; `None` when it is not UTF-8.
    pub(crate) fn text(&self, path: &str) -> Result<Option<String>, String> {
        let bytes = std::fs::read(self.root.join(path)).map_err(|error| format!("cannot read {path}: {error}"))?;
        Ok(String::from_utf8(bytes).ok())
    }

    fn files_from_git(&self) -> Option<Vec<String>> {
        let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let output = Command::new("git").arg("-C").arg(&self.root).args(arguments).output().ok()?;
        if !output.status.success() {
            return None;
        }
        let listed = String::from_utf8_lossy(&output.stdout);
        Some(listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
    }

    fn files_from_walk(&self) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            for entry in entries {
                let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                if path.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
                    folders.push(path);
                } else if path.is_file() {
                    let relative = path.strip_prefix(&self.root).expect("the walk started at the root");
                    found.push(relative.to_string_lossy().replace('\\', "/"));
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_and_git_agree_about_the_files_of_this_crate() {
        let repository = Repository::find().expect("the workspace");
        let walked = repository.files_from_walk().expect("a readable workspace");
        assert!(walked.contains(&"xtask/src/main.rs".to_owned()));
        assert!(repository.files().expect("a list").contains(&"xtask/src/main.rs".to_owned()));
        assert!(!walked.iter().any(|path| path.starts_with("target/") || path.starts_with(".git/")));
    }
}
