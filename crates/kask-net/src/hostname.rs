//! The name of this machine. The only place of the crate with `unsafe`.

/// The name of this machine, as other machines may know it; `None` if it has none or one that is not text.
pub fn hostname() -> Option<String> {
    let mut buffer = [0u8; 256];
    // SAFETY: the pointer and the length describe a buffer of ours that outlives the call, and whose last byte is kept
    // out of the call's reach so that it ends with a zero whatever was written.
    let status = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) };
    if status != 0 {
        return None;
    }
    let length = buffer.iter().position(|byte| *byte == 0)?;
    let name = std::str::from_utf8(&buffer[..length]).ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_has_a_name() {
        let name = super::hostname().expect("a name");
        assert!(!name.contains('\0') && !name.is_empty());
    }
}
