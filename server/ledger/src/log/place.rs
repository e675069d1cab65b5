//! Where a record stands, and how far something has come.

use super::line::Digest;

/// How far something has come: after this record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// The last record; 0: none.
    pub seq: u64,
    /// The file it stands in; 0: none.
    pub segment: u32,
    /// The byte after it.
    pub offset: u64,
    /// Its digest; zeros: none.
    pub digest: Digest,
}

/// Where one record stands, and what it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its number.
    pub seq: u64,
    /// The file.
    pub segment: u32,
    /// Its first byte.
    pub offset: u64,
    /// Bytes of the line without the line feed.
    pub len: u32,
    /// The digest of the record before.
    pub previous: Digest,
    /// Its digest.
    pub digest: Digest,
}

const POSITION: usize = 8 + 4 + 8 + 32;
const PLACE: usize = 8 + 4 + 8 + 4 + 32 + 32;

impl Position {
    /// As a table keeps it.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(POSITION);
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.segment.to_be_bytes());
        bytes.extend(self.offset.to_be_bytes());
        bytes.extend(self.digest);
        bytes
    }

    /// As a table kept it.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut cut = Cut(bytes);
        let position = Self {
            seq: u64::from_be_bytes(cut.take()?),
            segment: u32::from_be_bytes(cut.take()?),
            offset: u64::from_be_bytes(cut.take()?),
            digest: cut.take()?,
        };
        cut.0.is_empty().then_some(position)
    }
}

impl Place {
    /// As a table keeps it.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PLACE);
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.segment.to_be_bytes());
        bytes.extend(self.offset.to_be_bytes());
        bytes.extend(self.len.to_be_bytes());
        bytes.extend(self.previous);
        bytes.extend(self.digest);
        bytes
    }

    /// As a table kept it.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut cut = Cut(bytes);
        let place = Self {
            seq: u64::from_be_bytes(cut.take()?),
            segment: u32::from_be_bytes(cut.take()?),
            offset: u64::from_be_bytes(cut.take()?),
            len: u32::from_be_bytes(cut.take()?),
            previous: cut.take()?,
            digest: cut.take()?,
        };
        cut.0.is_empty().then_some(place)
    }

    /// How far one has come after this record.
    pub fn end(&self) -> Position {
        let offset = self.offset + u64::from(self.len) + 1;
        Position { seq: self.seq, segment: self.segment, offset, digest: self.digest }
    }
}

struct Cut<'a>(&'a [u8]);

impl Cut<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        let place = Place { seq: 1, segment: 2, offset: 3, len: 4, previous: [5; 32], digest: [6; 32] };
        assert_eq!(Place::from_bytes(&place.to_bytes()), Some(place));
        assert_eq!(Position::from_bytes(&place.end().to_bytes()), Some(place.end()));
        assert_eq!(Place::from_bytes(&place.to_bytes()[1..]), None);
    }
}
