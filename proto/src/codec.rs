//! Protobuf over gRPC, with one difference to tonic's own codec: bytes that are no such message are the sender's fault
//! (INVALID_ARGUMENT), not ours (INTERNAL). Invalid UTF-8 and nesting beyond the decoder's limit arrive this way.

use std::marker::PhantomData;

use prost::Message;
use prost::bytes::Buf as _;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::{ProstCodec, ProstDecoder};

/// The codec of all our services.
#[derive(Debug)]
pub struct StrictCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for StrictCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for StrictCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = <ProstCodec<T, U> as Codec>::Encoder;
    type Decoder = StrictDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder(ProstDecoder::default())
    }
}

/// A decoder that blames the sender.
#[derive(Debug)]
pub struct StrictDecoder<U>(ProstDecoder<U>);

impl<U: Message + Default> Decoder for StrictDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        if !at_most_fields(buf.chunk(), MOST_FIELDS) {
            return Err(Status::invalid_argument(format!("the message has more than {MOST_FIELDS} fields")));
        }
        self.0.decode(buf).map_err(|status| match status.code() {
            Code::Internal => Status::invalid_argument(status.message().to_owned()),
            _ => status,
        })
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// Fields of one message on its top level; lists of messages count with each entry.
const MOST_FIELDS: usize = 8192;

/// Whether the encoded message has at most `most` fields. An empty message takes two bytes on the wire and hundreds in
/// memory, so many of them are refused before they are decoded. What is malformed passes: the decoder names it.
fn at_most_fields(mut bytes: &[u8], most: usize) -> bool {
    for _ in 0..most {
        match skip_field(bytes) {
            Some(rest) => bytes = rest,
            None => return true,
        }
    }
    skip_field(bytes).is_none()
}

/// What follows the first field; `None` at the end, or where there is no field.
fn skip_field(bytes: &[u8]) -> Option<&[u8]> {
    let (key, rest) = varint(bytes)?;
    match key & 7 {
        0 => varint(rest).map(|(_, rest)| rest),
        1 => rest.get(8..),
        2 => {
            let (length, rest) = varint(rest)?;
            rest.get(usize::try_from(length).ok()?..)
        }
        5 => rest.get(4..),
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().take(10).position(|b| b & 0x80 == 0)?;
    let (own, rest) = bytes.split_at_checked(end + 1)?;
    Some((own.iter().rev().fold(0, |n, b| n << 7 | u64::from(b & 0x7f)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{ScoreBatchRequest, ScoreRequest};

    #[test]
    fn many_empty_entries_are_counted_before_they_are_decoded() {
        let batch = |n| ScoreBatchRequest { requests: vec![ScoreRequest::default(); n] }.encode_to_vec();
        assert!(at_most_fields(&batch(100), 100) && !at_most_fields(&batch(101), 100));
        let long = ScoreRequest { request_id: "x".repeat(300), ..Default::default() }.encode_to_vec();
        assert!(at_most_fields(&long, 1) && !at_most_fields(&long, 0));
        assert!(at_most_fields(&[], 0) && at_most_fields(&[0xff; 20], 0));
    }
}
