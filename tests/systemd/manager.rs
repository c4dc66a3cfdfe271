//! Plays systemd: a notify socket, what was heard on it, and the timer of a stop.
//!
//! Rule: every wait is for a message or an end, with a deadline; silence is a wait for a message that must not come.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::world::{PATIENCE, Running, World};

/// The longest message that systemd takes.
const MESSAGE_MAX: usize = 4096;

pub(crate) struct Manager {
    socket: UnixDatagram,
    name: OsString,
    watchdog: Option<Duration>,
}

impl Manager {
    /// One that listens at a path of the world.
    pub(crate) fn new(world: &World) -> Self {
        let path = world.root().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        Self::listen(socket, path.into())
    }

    /// One that listens at a name outside of any file system.
    pub(crate) fn abstract_name() -> Self {
        let name = format!("jobctl-{:x}", unique());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        Self::listen(socket, format!("@{name}").into())
    }

    fn listen(socket: UnixDatagram, name: OsString) -> Self {
        Self {
            socket,
            name,
            watchdog: None,
        }
    }

    /// Wants a sign of life this often.
    pub(crate) fn with_watchdog(mut self, allowed: Duration) -> Self {
        self.watchdog = Some(allowed);
        self
    }

    /// Starts the binary as a unit of `Type=notify`. The command can still be changed.
    pub(crate) fn command(&self, world: &World, words: &str) -> Command {
        let mut command = world.command(words.split_whitespace());
        command.env("NOTIFY_SOCKET", &self.name);
        if let Some(allowed) = self.watchdog {
            command.env("WATCHDOG_USEC", allowed.as_micros().to_string());
        }
        command
    }

    /// Starts it so.
    pub(crate) fn start(&self, world: &World, words: &str) -> Running {
        World::start_command(self.command(world, words))
    }

    /// The next message, if one comes within this time.
    pub(crate) fn next(&self, within: Duration) -> Option<Message> {
        let within = within.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(within)).expect("set");
        let mut bytes = [0; MESSAGE_MAX + 1];
        match self.socket.recv(&mut bytes) {
            Ok(n) => Some(Message::read(&bytes[..n])),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for a message with this variable and returns its value; others before it are passed over.
    #[track_caller]
    pub(crate) fn until(&self, name: &str) -> String {
        self.until_value(name, |_| true)
    }

    /// Waits for a status with these words.
    #[track_caller]
    pub(crate) fn until_status(&self, words: &str) -> String {
        self.until_value("STATUS", |status| status.contains(words))
    }

    #[track_caller]
    fn until_value(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        let mut heard = Vec::new();
        while let Some(left) = PATIENCE.checked_sub(begun.elapsed()) {
            let Some(message) = self.next(left) else {
                continue;
            };
            match message.get(name) {
                Some(value) if wanted(value) => return value.to_owned(),
                _ => heard.push(message),
            }
        }
        panic!("no such `{name}` within {PATIENCE:?}: {heard:?}");
    }

    /// Forgets what has been said until now.
    pub(crate) fn forget(&self) {
        self.socket.set_nonblocking(true).expect("set");
        let mut bytes = [0; MESSAGE_MAX];
        while self.socket.recv(&mut bytes).is_ok() {}
        self.socket.set_nonblocking(false).expect("set");
    }

    /// Fails if a message arrives within this time.
    #[track_caller]
    pub(crate) fn expect_silence(&self, during: Duration) {
        let heard = self.next(during);
        assert!(heard.is_none(), "{heard:?}");
    }

    /// Fills the socket's queue until the kernel takes no more.
    pub(crate) fn fill(&self) {
        let address = self.socket.local_addr().expect("an address");
        let sender = UnixDatagram::unbound().expect("a socket");
        sender.set_nonblocking(true).expect("set");
        while sender.send_to_addr(b"FULL=1\n", &address).is_ok() {}
    }

    /// Waits for the end of a process that was told to stop, and kills it as systemd would: when `allowed` is over and it has
    /// not asked for more. Returns the exit code and what it asked for.
    #[track_caller]
    pub(crate) fn until_end(
        &self,
        running: &mut Running,
        allowed: Duration,
    ) -> (Option<i32>, Vec<Duration>) {
        let begun = Instant::now();
        let mut deadline = begun + allowed;
        let mut asked = Vec::new();
        loop {
            if let Some(status) = running.child().try_wait().expect("a child") {
                return (status.code(), asked);
            }
            if let Some(more) = self.next(Duration::from_millis(10)).and_then(Message::more) {
                deadline = deadline.max(Instant::now() + more);
                asked.push(more);
            }
            assert!(Instant::now() < deadline, "systemd kills it: {asked:?}");
            assert!(begun.elapsed() < PATIENCE, "it goes on: {asked:?}");
        }
    }
}

/// What came in one datagram.
#[derive(Debug)]
pub(crate) struct Message(Vec<(String, String)>);

impl Message {
    #[track_caller]
    fn read(bytes: &[u8]) -> Self {
        assert!(bytes.len() <= MESSAGE_MAX, "systemd drops it");
        let text = std::str::from_utf8(bytes).expect("UTF-8");
        let assign = |line: &str| {
            let (name, value) = line.split_once('=').expect("an assignment");
            (name.to_owned(), value.to_owned())
        };
        Self(text.lines().map(assign).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The time that it asks for.
    pub(crate) fn more(self) -> Option<Duration> {
        let usec = self.get("EXTEND_TIMEOUT_USEC")?.parse();
        Some(Duration::from_micros(usec.expect("a number")))
    }
}

fn unique() -> u64 {
    u64::from_le_bytes(jobctl::clock::random_bytes())
}
