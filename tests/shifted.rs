//! Real processes whose wall clock steps, while that of the machine does not: a library that they load adds to what they read.
//!
//! Rule: the clock of boot and the monotonic one stay as they are, which is what a step of the wall clock looks like.

use std::process::Command;

use crate::world::World;

/// Adds to the wall clock of the program that loads it as many seconds as a file says, which is read each time.
const SHIFT: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    const char *path = getenv("CLOCK_SHIFT");
    if (result == 0 && clock == CLOCK_REALTIME && path) {
        int error = errno, file = open(path, O_RDONLY | O_CLOEXEC);
        char text[24] = {0};
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0)
                now->tv_sec += atol(text);
            close(file);
        }
        errno = error;
    }
    return result;
}
"#;

/// What runs in this world from now on has the wall clock of the machine and what [`by`] adds.
pub(crate) fn begin(world: &mut World) {
    let (source, library) = (world.root().join("shift.c"), world.root().join("shift.so"));
    std::fs::write(&source, SHIFT).expect("a source");
    let mut compiler = Command::new("cc");
    compiler
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source]);
    assert!(compiler.status().expect("a C compiler").success());
    by(world, 0);
    let file = world.root().join("shift");
    world.set("LD_PRELOAD", library).set("CLOCK_SHIFT", file);
}

/// The wall clock is so many seconds ahead.
pub(crate) fn by(world: &World, seconds: i64) {
    // A reader sees the number before or this one.
    let new = world.root().join("shift.new");
    std::fs::write(&new, seconds.to_string()).expect("a number");
    std::fs::rename(&new, world.root().join("shift")).expect("it is in place");
}
