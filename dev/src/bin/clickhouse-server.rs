//! Runs the ClickHouse engine of `libchdb.so` as a process of its own, so that it can be watched, bounded and killed.
//!
//! `clickhouse-server LIBRARY ARGUMENT...` calls the library's command line with these arguments
//! and ends with it: by the end of its query (an error, as the query is meant to run for ever) or by a signal.

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStringExt;

use anyhow::{Context, bail};
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// `chdb_query_cmdline` of `chdb.h`: runs a command line and returns a handle of its result, or null.
type QueryCommandLine = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
/// `chdb_result_error` of `chdb.h`: the text of the error, or null.
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let library = arguments.next().context("the first argument must be the path of libchdb.so")?;
    let arguments = [OsString::from("clickhouse")].into_iter().chain(arguments);
    let arguments: Vec<CString> = arguments
        .map(|argument| CString::new(argument.into_vec()))
        .collect::<Result<_, _>>()
        .context("failed to read the arguments")?;
    let answer = serve(&library, &arguments)
        .with_context(|| format!("failed to load `{}`", library.to_string_lossy()))?;
    bail!("ClickHouse ended: {}", answer.unwrap_or_else(|| "its query has no more rows".to_owned()));
}

/// Serves until the query among the arguments ends, and returns its error, if it had one.
#[allow(unsafe_code, reason = "a shared library can only be called through pointers to its functions")]
fn serve(library: &OsString, arguments: &[CString]) -> Result<Option<String>, libloading::Error> {
    let mut pointers: Vec<*mut c_char> =
        arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    let count = c_int::try_from(pointers.len()).expect("the kernel allows fewer arguments than that");
    // A C program ends its arguments with a null pointer, and option parsers may look for it.
    pointers.push(std::ptr::null_mut());

    // SAFETY: the library's initialisers run once, before it has threads. It is never unloaded, as its threads
    // outlive every call. The signatures are those of chdb.h of the version that package-lock.json pins.
    // The arguments live until the call returns, and the result is read before anything frees it.
    unsafe {
        let library = std::mem::ManuallyDrop::new(Library::open(Some(library), RTLD_NOW | RTLD_GLOBAL)?);
        let query = library.get::<QueryCommandLine>("chdb_query_cmdline")?;
        let error = library.get::<ResultError>("chdb_result_error")?;
        let result = query(count, pointers.as_mut_ptr());
        if result.is_null() {
            return Ok(Some("it returned no result".to_owned()));
        }
        let text = error(result);
        Ok((!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned()))
    }
}
