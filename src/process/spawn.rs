//! Starts a program by `posix_spawn`: own session, no blocked and no ignored signals, three descriptors.
//!
//! Rule: the only file with `unsafe`, besides `memory` and `last_words`. `pre_exec` would force a fork, which costs throughput. Settings
//! that `posix_spawn` does not support (umask, rlimits) are made by [`super::wrapper`] in the child. Every descriptor of jobctl is
//! close-on-exec.
#![expect(
    unsafe_code,
    reason = "posix_spawn with a new session, and execve, have no safe wrapper that keeps all descriptors of errors"
)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::FileType;
use rustix::process::{Pid, WaitId, WaitIdOptions};

/// Number of the descriptor on which the wrapper reports.
const REPORT: c_int = 3;

/// A program to start.
pub(super) struct Program<'a> {
    /// Path of the program; one with a slash, relative to `cwd` or absolute.
    pub(super) path: &'a CStr,
    /// Arguments, the first is the name under which it runs.
    pub(super) argv: &'a [CString],
    /// Working directory.
    pub(super) cwd: &'a CStr,
    /// Standard input.
    pub(super) stdin: BorrowedFd<'a>,
    /// Standard output and standard error.
    pub(super) output: BorrowedFd<'a>,
    /// The pipe on which the wrapper reports an error; only the wrapper gets one.
    pub(super) report: Option<BorrowedFd<'a>>,
}

/// Starts the program in a new session and returns its process id, which is also its group and session id.
///
/// The error is that of the failed step in the child: changing the directory or executing the program.
pub(super) fn spawn<'a>(
    program: &Program<'_>,
    environment: impl Iterator<Item = &'a CStr>,
) -> io::Result<Pid> {
    // The Rust runtime keeps 0-2 open; otherwise dup2 could overwrite a pipe end there.
    debug_assert!(program.stdin.as_raw_fd() > 2 && program.output.as_raw_fd() > 2);
    let argv = pointers(program.argv.iter().map(CString::as_c_str));
    let envp = pointers(environment);
    let mut actions = FileActions::new()?;
    actions.chdir(program.cwd)?;
    actions.dup2(program.stdin, 0)?;
    actions.dup2(program.output, 1)?;
    actions.dup2(program.output, 2)?;
    if let Some(report) = program.report {
        // Last, because the others may have this number in our process.
        actions.dup2(report, REPORT)?;
    }
    let attributes = Attributes::new()?;
    let mut pid: libc::pid_t = 0;
    // SAFETY: `path` is NUL-terminated; `argv` and `envp` are null-terminated arrays of pointers into strings that
    // outlive the call; `actions` and `attributes` are initialised; `pid` is a valid place for the answer.
    let status = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            program.path.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            argv.as_ptr().cast::<*mut c_char>(),
            envp.as_ptr().cast::<*mut c_char>(),
        )
    };
    check(status)?;
    Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

/// Replaces this process by the program; returns only the error.
pub(super) fn exec(path: &CStr, argv: &[CString]) -> io::Error {
    let argv = pointers(argv.iter().map(CString::as_c_str));
    // SAFETY: resetting a disposition to the default has no preconditions. Rust's runtime ignores SIGPIPE, and an
    // ignored signal would stay ignored in the program.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    // SAFETY: `path` is NUL-terminated, `argv` is a null-terminated array of pointers into living strings.
    unsafe { libc::execv(path.as_ptr(), argv.as_ptr()) };
    io::Error::last_os_error()
}

/// The descriptor on which this process, as a wrapper, reports; the program that it becomes does not get it.
pub(super) fn take_report() -> Option<File> {
    // SAFETY: descriptor 3 of a process that was started as a wrapper has no other owner: nothing was opened before.
    let report = unsafe { BorrowedFd::borrow_raw(REPORT) };
    let stat = rustix::fs::fstat(report).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return None;
    }
    Some(rustix::io::fcntl_dupfd_cloexec(report, 4).ok()?.into()).inspect(|_| {
        let _ = rustix::io::fcntl_setfd(report, rustix::io::FdFlags::CLOEXEC);
    })
}

/// Makes this process adopt descendants whose parents end before them (child subreaper).
///
/// The kernel hands them to the first live thread, which is the main thread; a slot's own child stays the slot's. So
/// [`reap_orphans`] on the main thread never takes the exit status that a slot waits for.
pub fn become_subreaper() -> io::Result<()> {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    SUBREAPER.store(true, Ordering::Release);
    Ok(())
}

static SUBREAPER: AtomicBool = AtomicBool::new(false);

/// Whether this process adopts all processes that a command leaves behind.
pub(super) fn is_subreaper() -> bool {
    SUBREAPER.load(Ordering::Acquire)
}

/// Makes every descriptor that jobctl itself was given, except 0-2, close-on-exec; to be called once at start.
///
/// Descriptors that jobctl opens are close-on-exec already. A shell or a service manager may have left others open, which each command
/// would inherit. Needs Linux 5.11; on an older kernel it fails and changes nothing.
pub fn seal_descriptors() -> io::Result<()> {
    // SAFETY: sets a flag of descriptors; it closes none, so that no owner loses its own.
    let status = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    match status {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Resets SIGCHLD to its default. The process that started us may ignore it, which is inherited: then the kernel would discard the exit
/// codes of our children.
pub fn reset_sigchld() {
    // SAFETY: sets a signal back to its default; no handler is involved.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
}

/// Reaps the ended processes that the *calling thread* has adopted, without waiting; returns how many.
///
/// For the main thread, on SIGCHLD or in its tick. It looks at the calling thread's children only (`__WNOTHREAD`).
pub fn reap_orphans() -> u32 {
    let mut reaped = 0;
    let options = WaitIdOptions::EXITED
        | WaitIdOptions::NOHANG
        | WaitIdOptions::from_bits_retain(libc::__WNOTHREAD as u32);
    while let Ok(Some(_)) = rustix::process::waitid(WaitId::All, options) {
        reaped += 1;
    }
    reaped
}

/// `/dev/null` for reading, opened once.
pub(super) fn dev_null() -> io::Result<BorrowedFd<'static>> {
    static NULL: OnceLock<File> = OnceLock::new();
    if let Some(file) = NULL.get() {
        return Ok(file.as_fd());
    }
    let file = File::open("/dev/null")?;
    Ok(NULL.get_or_init(|| file).as_fd())
}

fn pointers<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const c_char> {
    strings
        .map(CStr::as_ptr)
        .chain(std::iter::once(ptr::null()))
        .collect()
}

fn check(status: c_int) -> io::Result<()> {
    match status {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

struct FileActions(libc::posix_spawn_file_actions_t);

impl FileActions {
    fn new() -> io::Result<Self> {
        let mut actions = MaybeUninit::uninit();
        // SAFETY: the call initialises what the pointer names; on success it is initialised.
        unsafe {
            check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
            Ok(Self(actions.assume_init()))
        }
    }

    fn dup2(&mut self, from: BorrowedFd<'_>, to: c_int) -> io::Result<()> {
        // SAFETY: initialised in `new`; the descriptors are plain numbers for the child.
        check(unsafe {
            libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from.as_raw_fd(), to)
        })
    }

    fn chdir(&mut self, path: &CStr) -> io::Result<()> {
        // SAFETY: initialised in `new`; glibc (>= 2.29) copies the path.
        check(unsafe { libc::posix_spawn_file_actions_addchdir_np(&raw mut self.0, path.as_ptr()) })
    }
}

impl Drop for FileActions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    fn new() -> io::Result<Self> {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the call initialises what the pointer names; on success it is initialised.
        let mut attributes = unsafe {
            check(libc::posix_spawnattr_init(attributes.as_mut_ptr()))?;
            Self(attributes.assume_init())
        };
        let flags = c_int::from(libc::POSIX_SPAWN_SETSID)
            | libc::POSIX_SPAWN_SETSIGMASK
            | libc::POSIX_SPAWN_SETSIGDEF;
        // SAFETY: a signal set is a bit field for which all zeroes and all ones are valid. All ones instead of
        // `sigfillset`, which spares glibc's two internal signals; they would reach the command as ignored.
        unsafe {
            let none = MaybeUninit::<libc::sigset_t>::zeroed().assume_init();
            let mut all = none;
            ptr::write_bytes(&raw mut all, 0xff, 1);
            check(libc::posix_spawnattr_setsigmask(
                &raw mut attributes.0,
                &raw const none,
            ))?;
            check(libc::posix_spawnattr_setsigdefault(
                &raw mut attributes.0,
                &raw const all,
            ))?;
            check(libc::posix_spawnattr_setflags(
                &raw mut attributes.0,
                flags as i16,
            ))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new`, destroyed once.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}
