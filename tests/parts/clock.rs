//! A calendar clock that a test sets, for one process: a library in front of the C library's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::daemon::World;

/// Adds the seconds in a file to what the kernel says of the calendar; the monotonic clock stays as it is.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *at) {
    long done = syscall(SYS_clock_gettime, clock, at);
    const char *file = getenv("TEST_CLOCK");
    if (done != 0 || !file || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return done;
    char text[32] = {0};
    int opened = open(file, O_RDONLY | O_CLOEXEC);
    if (opened >= 0) {
        if (read(opened, text, sizeof text - 1) > 0) at->tv_sec += atol(text);
        close(opened);
    }
    return 0;
}
"#;

/// The clock of a world's daemons.
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// None where there is no C compiler; the daemon could not have been built then.
    pub fn of(world: World) -> Option<(Self, World)> {
        let (source, library, file) = (world.path("clock.c"), world.path("clock.so"), world.path("clock"));
        fs::write(&source, SOURCE).unwrap();
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
        if !compiled.is_ok_and(|status| status.success()) {
            super::skip("another clock", "no C compiler");
            return None;
        }
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let world = world.env("LD_PRELOAD", text(&library)).env("TEST_CLOCK", text(&file));
        let clock = Self { file };
        clock.set(0);
        Some((clock, world))
    }

    /// Now is so many seconds off. At once for all threads.
    pub fn set(&self, seconds: i64) {
        let next = self.file.with_extension("next");
        fs::write(&next, seconds.to_string()).unwrap();
        fs::rename(next, &self.file).unwrap();
    }
}
