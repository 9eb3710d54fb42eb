//! A wire to a broker that can be made deaf in one direction, slow, and cut.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PIECE: usize = 4096;

/// A wire between daemon and broker.
pub struct Wire {
    port: u16,
    way: Arc<Way>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
}

/// The way from the broker.
#[derive(Default)]
struct Way {
    deaf: AtomicBool,
    // Milliseconds a piece.
    pause: AtomicU64,
}

impl Wire {
    pub fn to(broker: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let wire = Self { port: listener.local_addr().unwrap().port(), way: Arc::default(), streams: Arc::default() };
        let (way, streams) = (wire.way.clone(), wire.streams.clone());
        // Ends with the test program.
        std::thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, broker)) else { continue };
                let clone = |stream: &TcpStream| stream.try_clone().unwrap();
                streams.lock().unwrap().extend([clone(&near), clone(&far)]);
                let (near_out, far_out, way) = (clone(&near), clone(&far), way.clone());
                std::thread::spawn(move || carry(near, far_out, &Way::default()));
                std::thread::spawn(move || carry(far, near_out, &way));
            }
        });
        wire
    }

    /// Where it begins, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Nothing that the broker says arrives any more.
    pub fn deafen(&self) {
        self.way.deaf.store(true, Ordering::SeqCst);
    }

    /// What the broker says arrives slowly: at most 4 KiB in this time.
    pub fn slow(&self, pause: Duration) {
        self.way.pause.store(pause.as_millis() as u64, Ordering::SeqCst);
    }

    /// Cuts all connections; new ones hear again.
    pub fn cut(&self) {
        // Cut first: nothing that was held back may slip through.
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.way.deaf.store(false, Ordering::SeqCst);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, way: &Way) {
    let mut buffer = [0; PIECE];
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
    {
        if !way.deaf.load(Ordering::SeqCst) && to.write_all(&buffer[..read]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(way.pause.load(Ordering::SeqCst)));
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
