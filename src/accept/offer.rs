//! What stands in `head/offer`: a head's manifest and its signature, before any bulk travels.
//!
//! `{"manifest": BASE64, "signature": BASE64}` of the exact bytes that a bundle holds. Opening this envelope is all that
//! happens before the signature is checked.

use super::envelope::{Envelope, EnvelopeError};
use crate::frame::ContentHash;
use crate::heads::BundleError;
use crate::heads::bundle::{self, Bundle, Sealed};

/// Largest offer that is looked at, in bytes: base64 of the largest manifest and signature, and the envelope.
pub const MAX_OFFER: usize = Envelope::most(bundle::MAX_MANIFEST as usize);

/// Manifest and signature of a head, not yet looked into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// `manifest.json`.
    pub manifest: Vec<u8>,
    /// `manifest.json.minisig`.
    pub signature: Vec<u8>,
}

/// Why bytes are no offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is no offer ({0}); push heads with `arcticd head push`")]
pub struct OfferError(EnvelopeError);

impl Offer {
    /// Opens the envelope.
    ///
    /// # Errors
    /// [`OfferError`].
    pub fn decode(payload: &[u8]) -> Result<Self, OfferError> {
        let Envelope { message, signature } = Envelope::decode(payload, MAX_OFFER).map_err(OfferError)?;
        Ok(Self { manifest: message, signature })
    }

    /// Writes the envelope.
    pub fn encode(&self) -> Vec<u8> {
        Envelope { message: self.manifest.clone(), signature: self.signature.clone() }.encode_offer()
    }

    /// The offer of a signed bundle; none if it is unsigned.
    pub fn of(bundle: &Bundle) -> Option<Self> {
        let signature = bundle.signature()?.encode().into_bytes();
        Some(Self { manifest: bundle.manifest_bytes().to_vec(), signature })
    }

    /// What the head is known by on the way: sha256 of the manifest's bytes, and so of everything but the signature.
    pub fn id(&self) -> ContentHash {
        ContentHash::of(&self.manifest)
    }

    /// Signature and manifest as a bundle's first two entries, with nothing behind them.
    ///
    /// # Errors
    /// [`BundleError`] if the signature is none.
    pub fn seal(&self) -> Result<Sealed<std::io::Empty>, BundleError> {
        bundle::seal(&self.signature, self.manifest.clone())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_comes_out_as_it_went_in_and_nothing_else_is_one() {
        let offer = Offer { manifest: b"{\"a\": 1}\n".to_vec(), signature: vec![0, 255, 10] };
        assert_eq!(Offer::decode(&offer.encode()).unwrap(), offer);
        let text = String::from_utf8(offer.encode()).unwrap();
        for wrong in [
            String::new(),
            "null".into(),
            "[]".into(),
            text[..text.len() - 1].into(),
            text.replace("signature", "signatur"),
            text.replace('}', ", \"more\": 1}"),
            text.replace("eyJ", "e*J"),
        ] {
            assert!(Offer::decode(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let error = Offer::decode(&vec![b' '; MAX_OFFER + 1]).unwrap_err().to_string();
        assert!(error.contains(&(MAX_OFFER + 1).to_string()), "{error}");
    }
}
