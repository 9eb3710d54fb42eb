//! File systems of a test's own: small ones that fill up, come and go, and break.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::skip;

/// A mounted file system; dropping it unmounts it.
pub struct Mount {
    place: PathBuf,
    image: Option<PathBuf>,
}

impl Mount {
    /// A file system in memory of so many KiB at `place`, which is made; none, with the reason printed, where this process
    /// may not mount.
    pub fn memory(place: &Path, kib: u32) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        let mount = Self { place: place.to_owned(), image: None };
        mount.mount(&["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).then_some(mount)
    }

    /// An ext4 in the file `image` that becomes read-only at the first error, at `place`; none as above.
    pub fn ext4(image: &Path, place: &Path) -> Option<Self> {
        fs::create_dir_all(place).unwrap();
        fs::File::create(image).unwrap().set_len(48 << 20).unwrap();
        if !run("mkfs.ext4", &["-q", "-F", &image.to_string_lossy()]) {
            return None;
        }
        let mount = Self { place: place.to_owned(), image: Some(image.to_owned()) };
        mount.again().then_some(mount)
    }

    /// Mounts it again after [`Mount::unmount`]; only an ext4 keeps what it held.
    pub fn again(&self) -> bool {
        let image = self.image.as_ref().unwrap().to_string_lossy();
        self.mount(&["-o", "loop,errors=remount-ro", &image])
    }

    /// Lets the ext4 meet an error, as a failing card does: it is read-only from now on. False where the kernel has no such
    /// lever.
    pub fn fail(&self) -> bool {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let place = self.place.to_string_lossy();
        let line = mounts.lines().find(|line| line.split(' ').nth(1) == Some(&*place)).unwrap();
        let device = line.split(' ').next().unwrap().trim_start_matches("/dev/");
        let lever = format!("/sys/fs/ext4/{device}/trigger_fs_error");
        let pulled = fs::write(&lever, "said a test");
        if let Err(error) = &pulled {
            skip("a file system that becomes read-only", &format!("{lever}: {error}"));
        }
        pulled.is_ok()
    }

    /// What an operator does with the card: unmounts it and mends it.
    pub fn unmount_and_mend(&self) {
        assert!(self.unmount());
        // 1: errors were mended.
        let mended = Command::new("fsck.ext4").arg("-fy").arg(self.image.as_ref().unwrap()).output().unwrap();
        assert!(matches!(mended.status.code(), Some(0 | 1)), "{mended:?}");
    }

    /// Unmounts it, also while it is in use: it stays alive for whoever uses it.
    pub fn unmount(&self) -> bool {
        run("umount", &["-l", &self.place.to_string_lossy()])
    }

    fn mount(&self, arguments: &[&str]) -> bool {
        let place = self.place.to_string_lossy();
        run("mount", &[arguments, &[&place]].concat())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        while fs::read_to_string("/proc/mounts").is_ok_and(|mounts| mounts.contains(&*self.place.to_string_lossy()))
            && self.unmount()
        {}
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    match &output {
        Ok(output) if output.status.success() => return true,
        Ok(output) => skip(program, String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => skip(program, &error.to_string()),
    }
    false
}

/// Fills a file system to the last byte with `name`; removing that makes room again.
pub fn fill(directory: &Path, name: &str) -> PathBuf {
    let ballast = directory.join(name);
    let mut file = fs::File::create(&ballast).unwrap();
    for size in [64 << 10, 4096, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    ballast
}
