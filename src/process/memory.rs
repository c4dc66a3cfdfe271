//! Gives memory back to the system after a load: what reads a catalogue needs many times what stays of it.
//!
//! Rule: what stays is made in a thread of its own, because each thread of glibc has its own arena: then what is freed is not
//! scattered among what stays. Not the other way round: only the main thread's arena gives back its end.
#![allow(unsafe_code, reason = "the allocator has no safe name for this")]

/// Makes what shall stay, while much that shall not is in memory.
///
/// # Panics
/// If the work does, or no thread can be started.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Returns what was freed to the system. Without it a process keeps the most that it ever needed.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the function takes a number and touches nothing but the allocator, which is made for threads.
    unsafe {
        libc::malloc_trim(0);
    }
}
