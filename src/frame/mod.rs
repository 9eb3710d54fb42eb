//! Decodes a file into pixels, within limits, and reads when and where it was taken.
