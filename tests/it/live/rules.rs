//! Rules that only a real API server can prove, each in a test of its name. The shared control plane of the process
//! serves all of them.

mod deletion;
mod ownership;
mod status;
