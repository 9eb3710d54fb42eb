//! Lets viewers in, a bounded number of them for a bounded time.

use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::patient::Patient;
use super::{Room, answer};
use crate::config::Listen;

/// Connections at a time; a browser takes up to six.
const SEATS: usize = 32;
/// How long a request may take to come, also the first and the next one.
const REQUEST: Duration = Duration::from_secs(10);
/// How long an answer waits for a client that does not read.
const UNREAD: Duration = Duration::from_secs(10);
/// How long a connection may last. A browser that watches comes back by itself, one that is gone does not.
const LIFE: Duration = Duration::from_secs(600);
/// Most bytes of a request.
const LARGEST: usize = 16 << 10;
/// Most headers of a request.
const HEADERS: usize = 64;
/// Until an address that can't be had is tried again: the network may come up after the daemon.
const TRY_AGAIN: Duration = Duration::from_secs(30);
/// How long nobody is let in after that failed.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);
/// What one hears for whom there is no seat.
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 10\r\ncontent-length: 0\r\n\r\n";

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Serves for ever.
pub(super) async fn serve(room: Arc<Room>) {
    let listener = listen(&room).await;
    let seats = Arc::new(Semaphore::new(SEATS));
    loop {
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                // An event is a small packet that should go at once.
                let _ = stream.set_nodelay(true);
                match seats.clone().try_acquire_owned() {
                    Ok(seat) => drop(tokio::spawn(hold(stream, room.clone(), seat))),
                    Err(_) => drop(stream.try_write(FULL)),
                }
            }),
            Listener::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| match seats.clone().try_acquire_owned() {
                    Ok(seat) => drop(tokio::spawn(hold(stream, room.clone(), seat))),
                    Err(_) => drop(stream.try_write(FULL)),
                })
            }
        };
        if let Err(error) = accepted {
            tracing::warn!("status page: {error}");
            // Whatever it lacks, descriptors as a rule, is not there again at once.
            sleep(ACCEPT_AGAIN).await;
        }
    }
}

/// Answers one connection until it ends, breaks a limit or has lasted long enough. `seat` is given back then.
async fn hold(stream: impl AsyncRead + AsyncWrite + Unpin, room: Arc<Room>, seat: impl Sized) {
    let answer = service_fn(|request| {
        let answer = answer::answer(room.clone(), request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST)
        .max_headers(HEADERS)
        .max_buf_size(LARGEST)
        .serve_connection(TokioIo::new(Patient::new(stream, UNREAD)), answer);
    if let Ok(Err(error)) = timeout(LIFE, connection).await {
        tracing::debug!("status page: {error}");
    }
    drop(seat);
}

/// Tries until the address can be had.
async fn listen(room: &Room) -> Listener {
    let listen = room.door.listen();
    loop {
        let bound = match listen {
            Listen::Tcp(address) => TcpListener::bind(address).await.map(Listener::Tcp),
            Listen::Unix(path) => bind(path).await.map(Listener::Unix),
        };
        match bound {
            Ok(listener) => {
                // The port may have been left to the system.
                let local = match &listener {
                    Listener::Tcp(listener) => listener.local_addr().map(Listen::Tcp).ok(),
                    Listener::Unix(_) => None,
                };
                tracing::info!("status page at {}", local.as_ref().unwrap_or(listen));
                room.status.warn("page", None);
                return listener;
            }
            Err(error) => {
                let text = format!("the status page can't be served at {listen}: {error}; it is tried again");
                tracing::warn!("{text}");
                room.status.warn("page", Some(text));
                sleep(TRY_AGAIN).await;
            }
        }
    }
}

/// A socket for its owner and group. One that a daemon before left behind is replaced; anything else stays, as a socket that
/// somebody listens on.
async fn bind(path: &Path) -> io::Result<UnixListener> {
    match path.symlink_metadata() {
        Ok(there) if there.file_type().is_socket() => match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            _ => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another program listens there")),
        },
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket")),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_socket_that_was_left_behind_is_replaced_and_one_that_is_listened_on_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("page.sock");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
            let first = bind(&path).await.unwrap();
            assert_eq!(bind(&path).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
            UnixStream::connect(&path).await.unwrap();
            drop(first);
            bind(&path).await.unwrap();
        });
    }
}
