#![no_main]

#[path = "../bounded.rs"]
mod bounded;

// libFuzzer's hook would end the process at a panic that the daemon catches, too.
libfuzzer_sys::fuzz_target!(init: drop(std::panic::take_hook()), |data| arcticd_fuzz::head(data));
