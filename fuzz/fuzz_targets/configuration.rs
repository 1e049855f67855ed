#![no_main]
#![allow(dead_code, reason = "only the parsing of the application's own module is wanted here")]

#[path = "../../apps/chaperone/src/config/mod.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        drop(toml::from_str::<config::gateway::GatewayConfig>(text));
        drop(toml::from_str::<config::agent::AgentConfig>(text));
    }
});
