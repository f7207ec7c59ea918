//! Where groups can be made.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, access};

use super::{Cgroup, Unavailable, Version, remove};

/// A group in which others can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    folder: PathBuf,
    version: Version,
    /// Whether the memory controller must first be handed on to the groups in it.
    hand_on: bool,
}

/// Whether memory limits can be kept here, and where. Reads a few small files and changes nothing.
pub fn available() -> Result<Place, Unavailable> {
    // Both are missing where the kernel has no control groups, and on other systems than Linux.
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(|_| Unavailable::NotMounted)?;
    let own = fs::read_to_string("/proc/self/cgroup").map_err(|_| Unavailable::NotMounted)?;
    find(&mounts, &own)
}

/// Finds the place from the text of `/proc/self/mountinfo` and `/proc/self/cgroup`.
fn find(mounts: &str, own: &str) -> Result<Place, Unavailable> {
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    // A controller belongs to one version at a time: where version 1 has it mounted, version 2 is without it.
    let path_one = own.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        fields
            .next()?
            .split(',')
            .any(|name| name == "memory")
            .then(|| fields.next())?
    });
    let one = mounts.iter().filter(|mount| mount.version == Version::One);
    if let Some(folders) = path_one.and_then(|path| folders(one, path)) {
        return version_one(&folders);
    }
    let path_two = own.lines().find_map(|line| line.strip_prefix("0::"));
    let two = mounts.iter().filter(|mount| mount.version == Version::Two);
    match path_two.and_then(|path| folders(two, path)) {
        Some(folders) => version_two(&folders),
        None => Err(Unavailable::NotMounted),
    }
}

/// A mounted tree of groups, of version 2 or of version 1 with the memory controller.
struct Mount {
    /// Which group is mounted; not the root where a container sees a part of the tree.
    root: String,
    point: PathBuf,
    version: Version,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let root = unescape(left.next()?);
        let point = PathBuf::from(unescape(left.next()?));
        let mut right = right.split(' ');
        let version = match right.next()? {
            "cgroup2" => Version::Two,
            "cgroup" if right.nth(1)?.split(',').any(|option| option == "memory") => Version::One,
            _ => return None,
        };
        Some(Self { root, point, version })
    }

    /// The folder of a group, when it lies in the part that is mounted.
    fn folder(&self, group: &str) -> Option<PathBuf> {
        let below = Path::new(group).strip_prefix(&self.root).ok()?;
        Some(self.point.join(below)).filter(|folder| folder.is_dir())
    }
}

/// Undoes the escapes of `mountinfo`: spaces and the like are written as octal numbers.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if let Some(byte) = part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            text.push(char::from(byte));
            text.push_str(&part[3..]);
        } else {
            text.push('\\');
            text.push_str(part);
        }
    }
    text
}

/// The folder of our own group and those of the groups around it, nearest first.
fn folders<'a>(mounts: impl Iterator<Item = &'a Mount>, own: &str) -> Option<Vec<PathBuf>> {
    let mut seen = None;
    for mount in mounts {
        if let Some(folder) = mount.folder(own) {
            let around = folder
                .ancestors()
                .take_while(|folder| folder.starts_with(&mount.point));
            return Some(around.map(Path::to_path_buf).collect());
        }
        // A container that shares our names of groups but not the tree: all it has is what is mounted.
        seen.get_or_insert_with(|| vec![mount.point.clone()]);
    }
    seen
}

/// Whether groups can be made in a folder and processes be moved into them.
fn writable(folder: &Path) -> Result<(), Unavailable> {
    access(folder, Access::WRITE_OK | Access::EXEC_OK)
        .and_then(|()| access(folder.join("cgroup.procs"), Access::WRITE_OK))
        .map_err(|errno| Unavailable::NotWritable {
            folder: folder.to_path_buf(),
            reason: errno.into(),
        })
}

fn version_one(folders: &[PathBuf]) -> Result<Place, Unavailable> {
    let mut why = Unavailable::NotMounted;
    // The farthest first, so that the reason that stays is the nearest one's.
    for folder in folders.iter().rev() {
        if let Err(reason) = writable(folder) {
            why = reason;
        }
    }
    // Our own group first: what limits us limits our tasks too.
    let place = folders
        .iter()
        .find(|folder| writable(folder).is_ok())
        .ok_or(why)?;
    Ok(Place {
        folder: place.clone(),
        version: Version::One,
        hand_on: false,
    })
}

/// Of version 2, groups with processes in them cannot hand controllers on (the root of all can), so the place is
/// mostly the group around our own. Moving a process needs the right to write to the group around its old and its
/// new one, which is the place itself.
fn version_two(folders: &[PathBuf]) -> Result<Place, Unavailable> {
    let mut why = None;
    for folder in folders {
        let names = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
        let has_memory = |file: &str| names(file).split_whitespace().any(|name| name == "memory");
        let handed_on = has_memory("cgroup.subtree_control");
        let can_hand_on =
            !handed_on && has_memory("cgroup.controllers") && names("cgroup.procs").trim().is_empty();
        match writable(folder) {
            Ok(()) if handed_on || can_hand_on => {
                return Ok(Place {
                    folder: folder.clone(),
                    version: Version::Two,
                    hand_on: can_hand_on,
                });
            }
            Ok(()) => {
                why.get_or_insert(Unavailable::NotDelegated(folder.clone()));
            }
            // A place that has no memory controller would not do even if it could be written.
            Err(reason) if handed_on || can_hand_on => {
                why.get_or_insert(reason);
            }
            Err(_) => {}
        }
    }
    Err(why
        .or_else(|| folders.first().map(|own| Unavailable::NotDelegated(own.clone())))
        .unwrap_or(Unavailable::NotMounted))
}

impl Place {
    /// The group in which others can be made.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Version of control groups here.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Makes a group here; see [`Cgroup::create`].
    pub fn create(&self, label: &str, memory: u64) -> Result<Cgroup, Unavailable> {
        let name: String = label
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() || "-_.".contains(letter) {
                    letter
                } else {
                    '_'
                }
            })
            .collect();
        // The prefix tells whoever looks at the tree whose group it is.
        let path = self.folder.join(format!(
            "seaway-{}",
            name.strip_prefix("seaway-").unwrap_or(&name)
        ));
        let refused = |reason| Unavailable::Refused {
            group: path.clone(),
            reason,
        };
        if self.hand_on {
            fs::write(self.folder.join("cgroup.subtree_control"), "+memory")
                .map_err(|_| Unavailable::NotDelegated(self.folder.clone()))?;
        }
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Left by an earlier start. It goes, so that the counts begin at zero.
                remove(&path).map_err(|_| Unavailable::InUse(path.clone()))?;
                fs::create_dir(&path).map_err(refused)?;
            }
            other => other.map_err(refused)?,
        }
        if let Err(reason) = self.limit(&path, memory) {
            // Nothing is in it yet.
            let _ = remove(&path);
            return Err(refused(reason));
        }
        Ok(Cgroup {
            path,
            version: self.version,
        })
    }

    fn limit(&self, group: &Path, memory: u64) -> io::Result<()> {
        let write = |file: &str, value: &str| fs::write(group.join(file), value);
        // Kernels without account of swap do not have the file.
        let write_if_there =
            |file: &str, value: &str| match fs::OpenOptions::new().write(true).open(group.join(file)) {
                Ok(_) => write(file, value),
                Err(_) => Ok(()),
            };
        let bytes = memory.to_string();
        match self.version {
            Version::One => {
                write("memory.limit_in_bytes", &bytes)?;
                // Memory and swap together, which may not be less than memory alone: hence the order.
                write_if_there("memory.memsw.limit_in_bytes", &bytes)
            }
            Version::Two => {
                write("memory.max", &bytes)?;
                write_if_there("memory.swap.max", "0")?;
                // A task with half of its processes killed is of no use.
                write_if_there("memory.oom.group", "1")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of groups as version 2 shows it, in a folder.
    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(groups: &[(&str, &str, &str, &str)]) -> Self {
            let tree = tempfile::tempdir().unwrap();
            for (group, controllers, handed_on, processes) in groups {
                let folder = tree.path().join(group);
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("cgroup.controllers"), controllers).unwrap();
                fs::write(folder.join("cgroup.subtree_control"), handed_on).unwrap();
                fs::write(folder.join("cgroup.procs"), processes).unwrap();
            }
            Self(tree)
        }

        fn find(&self, own: &str) -> Result<Place, Unavailable> {
            let point = self.0.path().display();
            find(
                &format!("41 31 0:38 / {point} rw,relatime - cgroup2 cgroup2 rw"),
                &format!("0::{own}\n"),
            )
        }
    }

    #[test]
    fn the_group_around_our_own_is_used() {
        let tree = Tree::new(&[
            ("", "cpu memory pids", "memory pids", ""),
            ("user", "memory pids", "memory pids", ""),
            ("user/scope", "memory pids", "", "1\n"),
        ]);
        let place = tree.find("/user/scope").unwrap();
        assert_eq!(place.folder(), tree.0.path().join("user"));
        assert!(!place.hand_on);
        let group = place.create("a/../b", 1 << 20).unwrap();
        assert_eq!(group.path(), tree.0.path().join("user/seaway-a_.._b"));
        assert_eq!(
            fs::read_to_string(group.path().join("memory.max")).unwrap(),
            "1048576"
        );
    }

    #[test]
    fn the_controller_is_handed_on_where_that_is_possible() {
        let tree = Tree::new(&[("", "memory", "", ""), ("scope", "", "", "1\n")]);
        let place = tree.find("/scope").unwrap();
        assert!(place.hand_on);
        place.create("a", 1 << 20).unwrap();
        assert_eq!(
            fs::read_to_string(tree.0.path().join("cgroup.subtree_control")).unwrap(),
            "+memory"
        );
    }

    #[test]
    fn a_container_with_its_processes_in_the_root_has_no_place() {
        let tree = Tree::new(&[("", "memory", "", "1\n7\n")]);
        let error = tree.find("/").unwrap_err();
        assert!(matches!(error, Unavailable::NotDelegated(_)), "{error}");
        assert!(error.to_string().contains("not handed on"));
    }

    #[test]
    fn nothing_mounted_is_said() {
        assert!(matches!(find("", "0::/\n"), Err(Unavailable::NotMounted)));
        let proc = "22 1 0:21 / /proc rw - proc proc rw";
        assert!(matches!(find(proc, "0::/\n"), Err(Unavailable::NotMounted)));
    }

    #[test]
    fn version_one_is_used_where_it_has_the_controller() {
        let tree = tempfile::tempdir().unwrap();
        let own = tree.path().join("memory tree/docker/abc");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("cgroup.procs"), "").unwrap();
        let point = tree
            .path()
            .join("memory tree")
            .display()
            .to_string()
            .replace(' ', "\\040");
        let mounts = format!(
            "30 1 0:30 / /cpu rw - cgroup cgroup rw,cpu\n35 1 0:32 / {point} rw - cgroup cgroup rw,memory\n\
             41 1 0:38 / /unified rw - cgroup2 cgroup2 rw"
        );
        let own_groups = "4:cpu:/\n3:memory:/docker/abc\n0::/\n";
        let place = find(&mounts, own_groups).unwrap();
        assert_eq!((place.folder(), place.version()), (own.as_path(), Version::One));
        // The same from inside a container that sees its own group as the mounted root.
        let inside = format!(
            "35 1 0:32 /docker/abc {} rw - cgroup cgroup rw,memory",
            own.display()
        );
        assert!(find(&inside.replace("memory tree", "memory\\040tree"), own_groups).is_ok());
    }
}
