//! A stream that a thread writes and somebody else reads.
//!
//! For: making tar archives while they are sent on, in as much memory as a pipe has.
//! Not for: knowing what goes through it.

use std::io::{self, PipeReader, PipeWriter, Read};
use std::thread::JoinHandle;

use thon_core::adapter::TarStream;

/// What `write` writes, from a thread of its own. An error of the writer's is one of the reader's,
/// in the place of the end; a reader that goes away ends the writer.
pub fn feed(
    write: impl FnOnce(PipeWriter) -> io::Result<()> + Send + 'static,
) -> io::Result<TarStream> {
    let (reader, writer) = io::pipe()?;
    let thread = std::thread::Builder::new().name("archive".to_owned());
    let thread = thread.spawn(move || write(writer))?;
    Ok(Box::new(Fed { reader, thread: Some(thread) }))
}

struct Fed {
    reader: PipeReader,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Read for Fed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        if read == 0
            && !buffer.is_empty()
            && let Some(thread) = self.thread.take()
        {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the writer broke down")))?;
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn everything_arrives_and_so_does_an_error() {
        let mut text = String::new();
        let written = feed(|mut writer| writer.write_all(&vec![b'x'; 1 << 20])).unwrap();
        assert_eq!({ written }.read_to_string(&mut text).unwrap(), 1 << 20);

        let broken = feed(|mut writer| {
            writer.write_all(b"half")?;
            Err(io::Error::other("the disk is gone"))
        });
        let mut half = Vec::new();
        let error = broken.unwrap().read_to_end(&mut half).unwrap_err();
        assert_eq!((&*half, error.to_string().as_str()), (&b"half"[..], "the disk is gone"));
    }
}
