//! A stream whose writer does not wait for ever: hyper has a deadline for reading headers and none for writing.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// A stream that fails with `TimedOut` when what was written to it is not taken in time.
///
/// The time runs from the first write that has to wait until everything before a flush was taken, so that a reader
/// of one byte now and then gains nothing.
#[derive(Debug)]
pub(super) struct WriteDeadline<S> {
    stream: S,
    limit: Duration,
    expires: Option<Pin<Box<Sleep>>>,
    /// Whether the time runs, for others to see.
    is_waiting: Arc<AtomicBool>,
}

impl<S> WriteDeadline<S> {
    pub(super) fn new(stream: S, limit: Duration, is_waiting: Arc<AtomicBool>) -> Self {
        Self { stream, limit, expires: None, is_waiting }
    }

    fn bounded(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            return written;
        }
        self.is_waiting.store(true, Ordering::Relaxed);
        let limit = self.limit;
        let expires = self.expires.get_or_insert_with(|| Box::pin(sleep(limit)));
        expires.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteDeadline<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bounded(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bounded(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes once its own buffer is empty, hence once an answer was taken whole.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if flushed.is_ready() {
            self.expires = None;
            self.is_waiting.store(false, Ordering::Relaxed);
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteDeadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, duplex},
        time::timeout,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn a_reader_of_one_byte_at_a_time_is_cut_off_too() {
        let (stream, mut reader) = duplex(1);
        let mut stream = WriteDeadline::new(stream, Duration::from_millis(50), Arc::default());
        let endless = async {
            loop {
                if let Err(error) = stream.write_all(b"answer").await {
                    return error.kind();
                }
            }
        };
        let trickle = async { while reader.read_u8().await.is_ok() {} };
        let ended = tokio::select! {
            kind = timeout(PATIENCE, endless) => kind,
            () = trickle => panic!("the stream ended before its writer"),
        };
        assert_eq!(ended, Ok(io::ErrorKind::TimedOut));
    }

    #[tokio::test]
    async fn an_answer_that_was_taken_gives_the_next_its_whole_time() {
        let (stream, mut reader) = duplex(1);
        let mut stream = WriteDeadline::new(stream, Duration::from_secs(3_600), Arc::default());
        let answer = async {
            stream.write_all(b"ab").await.unwrap();
            assert!(stream.expires.is_some(), "the second byte had to wait");
            assert!(stream.is_waiting.load(Ordering::Relaxed));
            stream.flush().await.unwrap();
            assert!(stream.expires.is_none() && !stream.is_waiting.load(Ordering::Relaxed));
        };
        let (_, both) = tokio::join!(answer, async { [reader.read_u8().await, reader.read_u8().await] });
        assert!(both.iter().all(Result::is_ok));
    }
}
