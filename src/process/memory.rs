//! Returns memory to the system after a load: reading a catalogue needs many times the memory of its result.
//!
//! Rule: long-lived data is built in a separate thread. In glibc each thread has its own arena, so freed memory is not scattered among
//! the data that stays. Not the other way round: only the main thread's arena can return memory at its end.
#![allow(unsafe_code, reason = "the allocator has no safe function for this")]

/// Builds long-lived data in the arena of another thread, while much short-lived data is in memory.
///
/// # Panics
/// If the work does, or no thread can be started.
pub fn in_separate_arena<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Returns freed memory to the system. Otherwise the process would retain its peak.
pub fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the function takes a number and touches nothing but the allocator, which is made for threads.
    unsafe {
        libc::malloc_trim(0);
    }
}
