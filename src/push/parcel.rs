//! A head as it travels: whole in one message where it is small, else as an offer and pieces.

use std::path::Path;

use crate::accept::Offer;
use crate::frame::ContentHash;
use crate::heads::{Bundle, BundleError, TrustedKeys};
use crate::model::HeadManifest;

use super::plan::Body;
use super::settings::MAX_OUTGOING;

/// The largest `.head` file that goes as one message. Above it, what an interrupted transfer has brought is worth keeping,
/// and a trap is better asked first.
pub const WHOLE: usize = 16 * 1024;

/// A signed head, ready to be published.
#[derive(Debug, Clone)]
pub struct Parcel {
    manifest: HeadManifest,
    key: String,
    offer: Offer,
    id: ContentHash,
    /// The file's bytes.
    file: Vec<u8>,
    /// Network and canaries.
    row: Vec<u8>,
    piece: usize,
    digests: Vec<ContentHash>,
}

/// Why a head can't be pushed.
#[derive(Debug, thiserror::Error)]
pub enum ParcelError {
    /// It is not read.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It has no signature.
    #[error(
        "it is not signed, and no trap takes an unsigned head; sign it with `arcticd head sign {0} --key NAME.key`"
    )]
    Unsigned(String),
    /// A piece fits no message.
    #[error("its pieces of {0} bytes are larger than the messages that traps take; make the head again")]
    Pieces(u64),
    /// The manifest lists no pieces, or wrong ones.
    #[error("its manifest does not list its pieces; make the head again")]
    NoPieces,
}

impl Parcel {
    /// Reads a `.head` file. Who signed it is for the traps to judge.
    ///
    /// # Errors
    /// [`ParcelError`]; the file's name is the caller's to add.
    pub fn load(path: &Path) -> Result<Self, ParcelError> {
        let bundle = Bundle::load(path, &TrustedKeys::default())?;
        let (Some(offer), Some(signature)) = (Offer::of(&bundle), bundle.signature()) else {
            return Err(ParcelError::Unsigned(path.display().to_string()));
        };
        let chunks = bundle.manifest().chunks.as_ref().ok_or(ParcelError::NoPieces)?;
        let digests = chunks.sha256.iter().map(|digest| digest.parse()).collect::<Result<Vec<ContentHash>, _>>();
        let digests = digests.map_err(|_| ParcelError::NoPieces)?;
        // The topic stands in the same message.
        let piece = usize::try_from(chunks.size).ok().filter(|size| (1..=MAX_OUTGOING - 1024).contains(size));
        let piece = piece.ok_or(ParcelError::Pieces(chunks.size))?;
        let mut file = Vec::new();
        bundle.write(&mut file).map_err(|source| BundleError::Write { path: path.to_owned(), source })?;
        Ok(Self {
            manifest: bundle.manifest().clone(),
            key: signature.key().to_string(),
            id: offer.id(),
            offer,
            file,
            row: bundle.row(),
            piece,
            digests,
        })
    }

    /// What the head says of itself.
    pub fn manifest(&self) -> &HeadManifest {
        &self.manifest
    }

    /// Id of the key that signed it, as it says.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// sha256 of its manifest.
    pub fn id(&self) -> ContentHash {
        self.id
    }

    /// Bytes of network and canaries: what traps bound.
    pub fn bytes(&self) -> u64 {
        self.row.len() as u64
    }

    /// Bytes of its file.
    pub fn file_bytes(&self) -> usize {
        self.file.len()
    }

    /// Bytes a piece; the last may be shorter.
    pub fn piece_bytes(&self) -> usize {
        self.piece
    }

    /// Whether it goes as one message.
    pub fn is_whole(&self) -> bool {
        self.file.len() <= WHOLE
    }

    /// How many pieces it goes in; 0 if it goes whole.
    pub fn pieces(&self) -> u32 {
        if self.is_whole() { 0 } else { u32::try_from(self.digests.len()).unwrap_or(u32::MAX) }
    }

    /// Whether these bytes are that piece.
    pub fn is_piece(&self, number: u32, bytes: &[u8]) -> bool {
        let digest = usize::try_from(number).ok().and_then(|number| self.digests.get(number));
        digest.is_some_and(|digest| *digest == ContentHash::of(bytes))
    }

    /// The bytes of a message.
    pub fn body(&self, body: Body) -> Vec<u8> {
        match body {
            Body::Nothing => Vec::new(),
            Body::Whole => self.file.clone(),
            Body::Offer => self.offer.encode(),
            Body::Piece(number) => {
                let number = usize::try_from(number).unwrap_or(usize::MAX);
                self.row.chunks(self.piece).nth(number).unwrap_or_default().to_vec()
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn the_pieces_of_a_large_head_are_its_row_of_bytes_and_each_has_the_manifests_hash() {
        let parcel = testing::large();
        assert!(!parcel.is_whole() && parcel.pieces() > 2);
        let mut row = Vec::new();
        for number in 0..parcel.pieces() {
            let piece = parcel.body(Body::Piece(number));
            assert!(parcel.is_piece(number, &piece) && !parcel.is_piece(number + 1, &piece));
            row.extend(piece);
        }
        assert_eq!(row.len() as u64, parcel.bytes());
        assert!(parcel.body(Body::Piece(parcel.pieces())).is_empty());
        assert_eq!(Offer::decode(&parcel.body(Body::Offer)).unwrap().id(), parcel.id());
    }

    #[test]
    fn a_small_head_goes_as_the_file_that_it_is() {
        let parcel = testing::small();
        assert_eq!((parcel.is_whole(), parcel.pieces()), (true, 0));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("came.head");
        std::fs::write(&path, parcel.body(Body::Whole)).unwrap();
        assert_eq!(Parcel::load(&path).unwrap().id(), parcel.id());
    }

    #[test]
    fn an_unsigned_head_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.head");
        testing::bundle(4, 1).save(&path).unwrap();
        let error = Parcel::load(&path).unwrap_err();
        assert!(matches!(error, ParcelError::Unsigned(_)));
        assert!(error.to_string().contains("arcticd head sign"), "{error}");
    }
}
