//! Finds settled files in the capture directory; events are hints, the scan is the truth.
