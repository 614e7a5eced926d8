//! `pearwood new`

mod template;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use pearwood::workspace::Workspace;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct New {
    /// The new system's folder; its last part is the name of the system and of its box
    path: PathBuf,
    /// What the box is written in
    #[arg(long, value_enum, default_value_t)]
    lang: Lang,
    /// What the box is like
    #[arg(long, value_enum, default_value_t)]
    template: Template,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Lang {
    #[default]
    Rust,
    Js,
    Python,
    Go,
    C,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Template {
    /// A box that answers HTTP requests, an ordinary WASI component
    #[default]
    Wasi,
    /// The same in Rust with Pearwood's own crate: small, fast, and it keeps its state
    Packed,
    /// A box in Rust that runs by itself, and has the clock and the log
    Service,
}

impl New {
    pub fn run(self) -> Result<ExitCode> {
        let name = self.path.file_name().and_then(|name| name.to_str()).context("the new system needs a name")?;
        check_name(name)?;
        if self.path.exists() {
            bail!("{} is there already", self.path.display());
        }
        if self.template != Template::Wasi && self.lang != Lang::Rust {
            bail!("boxes of this template are written in Rust; leave out `--lang` or `--template`");
        }
        let workspace = Workspace::find()?;
        for (path, text) in template::files(self.template, self.lang, name, &workspace.root)? {
            write(&self.path.join(path), &text)?;
        }
        println!("made {0}; `pearwood up {0}` runs it", self.path.display());
        Ok(ExitCode::SUCCESS)
    }
}

/// The name becomes that of a box, a folder, a crate and a WIT world.
fn check_name(name: &str) -> Result<()> {
    let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && !name.contains("--")
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        && name.split('-').all(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
        && name.len() <= 40;
    if !fits {
        bail!("`{name}` is no name for a system: words of lower-case letters and digits, joined by `-`");
    }
    if ["net", "http"].contains(&name) {
        bail!("the box `{name}` is in each system already; choose another name");
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["blog", "my-blog2"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "Blog", "2blog", "a--b", "a-", "a_b", "a.b", "net", "-a", "a-1"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn templates_are_sound_systems() {
        let langs = [Lang::Rust, Lang::Js, Lang::Python, Lang::Go, Lang::C].map(|lang| (Template::Wasi, lang));
        for (template, lang) in
            langs.into_iter().chain([(Template::Packed, Lang::Rust), (Template::Service, Lang::Rust)])
        {
            let files = template::files(template, lang, "my-blog", Path::new("/pearwood")).unwrap();
            let (_, system) = files.iter().find(|(path, _)| path == "system.toml").unwrap();
            let system = pearwood::system::System::parse("system.toml", system)
                .unwrap_or_else(|faults| panic!("{lang:?}: {}", pearwood::system::Report(&faults)));
            assert_eq!(system.name, "my-blog");
            assert_eq!(system.find("my-blog").unwrap().component, ["./my-blog"]);
            let folder = tempfile::tempdir().unwrap();
            for (path, text) in &files {
                assert!(!text.contains("NAME") && !text.contains("ROOT"), "{path}: {text}");
                write(&folder.path().join(path), text).unwrap();
            }
            let own = folder.path().join("my-blog");
            match lang {
                Lang::Rust => {
                    let manifest: toml::Table = fs::read_to_string(own.join("Cargo.toml")).unwrap().parse().unwrap();
                    assert_eq!(manifest["package"]["name"].as_str(), Some("my-blog"));
                }
                _ => assert!(pearwood::build::Language::of(&own).is_some(), "{lang:?}"),
            }
        }
    }
}
