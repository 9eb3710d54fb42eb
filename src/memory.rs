//! How much memory there is, and so how much one file may ask for.

use std::fs;
use std::path::Path;

use crate::frame::Limits;

/// What one file may ask for: no more than half of the memory that is free now, lest the system end the daemon for it.
pub fn limits() -> Limits {
    let limits = Limits::default();
    let half = available().map_or(limits.max_memory, |free| free / 2);
    Limits { max_memory: half.clamp(64 << 20, limits.max_memory), ..limits }
}

/// Bytes of memory that can be had without swapping, and within what the service manager grants; `None` where the kernel
/// does not say.
pub fn available() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let free = line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib << 10)?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Some(free.min(granted(&groups, Path::new("/sys/fs/cgroup")).unwrap_or(u64::MAX)))
}

/// What is left of `MemoryMax=`, by the unified hierarchy below `root`; none where there is no bound.
fn granted(groups: &str, root: &Path) -> Option<u64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let value = |name: &str| fs::read_to_string(root.join(group).join(name)).ok()?.trim().parse::<u64>().ok();
    Some(value("memory.max")?.saturating_sub(value("memory.current")?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_the_service_manager_grants_is_a_bound() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("system.slice/arcticd.service");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.max"), "301989888\n").unwrap();
        fs::write(group.join("memory.current"), "101989888\n").unwrap();
        let groups = "0::/system.slice/arcticd.service\n";
        assert_eq!(granted(groups, root.path()), Some(200_000_000));
        fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(granted(groups, root.path()), None);
        assert_eq!(granted("", root.path()), None);
    }
}
