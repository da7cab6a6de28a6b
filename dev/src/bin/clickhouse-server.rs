//! Runs the ClickHouse engine of `libchdb.so` as a process of its own, so that it can be watched, bounded and killed.
//!
//! `clickhouse-server LIBRARY ARGUMENT...` calls the library's command line with these arguments
//! and ends with it: by the end of its query (an error, as the query is meant to run for ever) or by a signal.
//!
//! It depends on the standard library alone: `up` compiles it with `rustc` in a second,
//! where cargo would wait for every other build on this machine.
#![allow(unsafe_code, reason = "a shared library can only be called through pointers to its functions")]

use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

/// Resolve every symbol now, and let the library's own libraries see them (`dlfcn.h` of glibc on Linux).
const NOW_AND_GLOBAL: c_int = 0x00002 | 0x00100;

// The C library that the standard library is linked with (dlopen(3)).
unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, symbol: *const c_char) -> *mut c_void;
    fn dlerror() -> *const c_char;
}

/// `chdb_query_cmdline` of `chdb.h`: runs a command line and returns a handle of its result, or null.
type QueryCommandLine = unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut c_void;
/// `chdb_result_error` of `chdb.h`: the text of the error, or null.
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

fn main() -> ExitCode {
    let Err(reason) = run();
    // There is nowhere to report that the log is closed.
    let _ =
        std::io::Write::write_all(&mut std::io::stderr(), format!("ClickHouse ended: {reason}\n").as_bytes());
    ExitCode::FAILURE
}

fn run() -> Result<std::convert::Infallible, String> {
    let mut arguments = std::env::args_os().skip(1).map(text);
    let library = arguments.next().ok_or("the first argument must be the path of libchdb.so")??;
    let arguments = [Ok(c"clickhouse".to_owned())].into_iter().chain(arguments);
    let arguments = arguments.collect::<Result<Vec<CString>, String>>()?;
    Err(serve(&library, &arguments)?)
}

fn text(argument: OsString) -> Result<CString, String> {
    CString::new(argument.into_vec()).map_err(|error| format!("an argument cannot be passed on: {error}"))
}

/// Serves until the query among the arguments ends, and returns why it did.
fn serve(library: &CStr, arguments: &[CString]) -> Result<String, String> {
    let mut pointers: Vec<*mut c_char> =
        arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
    let count = c_int::try_from(pointers.len()).map_err(|error| error.to_string())?;
    // A C program ends its arguments with a null pointer, and option parsers may look for it.
    pointers.push(std::ptr::null_mut());

    // SAFETY: the path is a C string. The library's initialisers run once, before it has threads,
    // and it is never unloaded, as its threads outlive every call.
    let library = unsafe { dlopen(library.as_ptr(), NOW_AND_GLOBAL) };
    if library.is_null() {
        return Err(last_error());
    }
    // SAFETY: the signatures are those of chdb.h in the version that package-lock.json pins, and neither is null.
    let (query, error) = unsafe {
        (
            std::mem::transmute::<*mut c_void, QueryCommandLine>(symbol(library, c"chdb_query_cmdline")?),
            std::mem::transmute::<*mut c_void, ResultError>(symbol(library, c"chdb_result_error")?),
        )
    };
    // SAFETY: the arguments live until the call returns, and the result is read before anything frees it.
    unsafe {
        let result = query(count, pointers.as_mut_ptr());
        if result.is_null() {
            return Ok("it returned no result".to_owned());
        }
        Ok(shown(error(result)).unwrap_or_else(|| "its query has no more rows".to_owned()))
    }
}

fn symbol(library: *mut c_void, name: &CStr) -> Result<*mut c_void, String> {
    // SAFETY: the library is a handle that dlopen returned, and the name is a C string.
    let symbol = unsafe { dlsym(library, name.as_ptr()) };
    if symbol.is_null() { Err(last_error()) } else { Ok(symbol) }
}

fn last_error() -> String {
    // SAFETY: dlerror has no precondition; its text lives until the next call of a dl function.
    unsafe { shown(dlerror()) }.unwrap_or_else(|| "the library cannot be loaded".to_owned())
}

/// # Safety
/// The pointer is null or points to a C string.
unsafe fn shown(text: *const c_char) -> Option<String> {
    // SAFETY: as the caller promises.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
