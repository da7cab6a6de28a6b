//! CityHash64 in its version 1.0.2, which is ClickHouse's `cityHash64` of one text.
//!
//! The table is sorted by it. Were it wrong, rows would be in another order than the table's, which costs the server
//! a sort and changes nothing else. The algorithm is that of <https://github.com/google/cityhash>; later versions
//! give other numbers. Pure.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;
const K3: u64 = 0xc949_d7c7_509e_6557;
const MULTIPLIER: u64 = 0x9ddf_ea08_eb38_2d69;

/// The hash of a text.
pub(crate) fn city_hash_64(text: &[u8]) -> u64 {
    match text.len() {
        0..=16 => up_to_16(text),
        17..=32 => up_to_32(text),
        33..=64 => up_to_64(text),
        _longer => longer(text),
    }
}

fn up_to_16(text: &[u8]) -> u64 {
    let length = text.len() as u64;
    match text.len() {
        0 => K2,
        1..=3 => {
            let byte = |at: usize| u64::from(text[at]);
            let y = byte(0) + (byte(text.len() / 2) << 8);
            let z = length + (byte(text.len() - 1) << 2);
            shift_mix(y.wrapping_mul(K2) ^ z.wrapping_mul(K3)).wrapping_mul(K2)
        }
        4..=8 => of_two(length + (four(text, 0) << 3), four(text, text.len() - 4)),
        _longer => {
            let (a, b) = (eight(text, 0), eight(text, text.len() - 8));
            of_two(a, b.wrapping_add(length).rotate_right(text.len() as u32)) ^ b
        }
    }
}

fn up_to_32(text: &[u8]) -> u64 {
    let length = text.len();
    let (a, b) = (eight(text, 0).wrapping_mul(K1), eight(text, 8));
    let (c, d) = (eight(text, length - 8).wrapping_mul(K2), eight(text, length - 16).wrapping_mul(K0));
    of_two(
        a.wrapping_sub(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d),
        a.wrapping_add((b ^ K3).rotate_right(20)).wrapping_sub(c).wrapping_add(length as u64),
    )
}

fn up_to_64(text: &[u8]) -> u64 {
    let length = text.len();
    // What the first and the last half of the text become.
    let half = |a: u64, z: u64, second: usize, third: usize| {
        let b = a.wrapping_add(z).rotate_right(52);
        let mut c = a.rotate_right(37);
        let a = a.wrapping_add(eight(text, second));
        c = c.wrapping_add(a.rotate_right(7));
        let a = a.wrapping_add(eight(text, third));
        (a.wrapping_add(z), b.wrapping_add(a.rotate_right(31)).wrapping_add(c))
    };
    let first = (length as u64).wrapping_add(eight(text, length - 16)).wrapping_mul(K0);
    let (vf, vs) = half(eight(text, 0).wrapping_add(first), eight(text, 24), 8, 16);
    let last = eight(text, 16).wrapping_add(eight(text, length - 32));
    let (wf, ws) = half(last, eight(text, length - 8), length - 24, length - 16);
    let r = vf.wrapping_add(ws).wrapping_mul(K2).wrapping_add(wf.wrapping_add(vs).wrapping_mul(K0));
    shift_mix(shift_mix(r).wrapping_mul(K0).wrapping_add(vs)).wrapping_mul(K2)
}

fn longer(text: &[u8]) -> u64 {
    let length = text.len();
    let mut x = eight(text, 0);
    let mut y = eight(text, length - 16) ^ K1;
    let mut z = eight(text, length - 56) ^ K0;
    let mut v = weak(text, length - 64, length as u64, y);
    let mut w = weak(text, length - 32, (length as u64).wrapping_mul(K1), K0);
    z = z.wrapping_add(shift_mix(v.1).wrapping_mul(K1));
    x = z.wrapping_add(x).rotate_right(39).wrapping_mul(K1);
    y = y.rotate_right(33).wrapping_mul(K1);
    for at in (0..(length - 1) / 64).map(|block| block * 64) {
        let sum = x.wrapping_add(y).wrapping_add(v.0).wrapping_add(eight(text, at + 16));
        x = sum.rotate_right(37).wrapping_mul(K1);
        let sum = y.wrapping_add(v.1).wrapping_add(eight(text, at + 48));
        y = sum.rotate_right(42).wrapping_mul(K1);
        x ^= w.1;
        y ^= v.0;
        z = (z ^ w.0).rotate_right(33);
        v = weak(text, at, v.1.wrapping_mul(K1), x.wrapping_add(w.0));
        w = weak(text, at + 32, z.wrapping_add(w.1), y);
        std::mem::swap(&mut z, &mut x);
    }
    let left = of_two(v.0, w.0).wrapping_add(shift_mix(y).wrapping_mul(K1)).wrapping_add(z);
    of_two(left, of_two(v.1, w.1).wrapping_add(x))
}

/// What 32 bytes make of two seeds.
fn weak(text: &[u8], at: usize, a: u64, b: u64) -> (u64, u64) {
    let [w, x, y, z] = [0, 8, 16, 24].map(|offset| eight(text, at + offset));
    let start = a.wrapping_add(w);
    let b = b.wrapping_add(start).wrapping_add(z).rotate_right(21);
    let a = start.wrapping_add(x).wrapping_add(y);
    (a.wrapping_add(z), b.wrapping_add(a.rotate_right(44)).wrapping_add(start))
}

fn of_two(low: u64, high: u64) -> u64 {
    let a = shift_mix((low ^ high).wrapping_mul(MULTIPLIER));
    let b = shift_mix((high ^ a).wrapping_mul(MULTIPLIER));
    b.wrapping_mul(MULTIPLIER)
}

fn shift_mix(number: u64) -> u64 {
    number ^ (number >> 47)
}

fn eight(text: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&text[at..at + 8]);
    u64::from_le_bytes(bytes)
}

fn four(text: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&text[at..at + 4]);
    u64::from(u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As ClickHouse 26.7 says of the same texts.
    #[test]
    fn it_is_the_hash_of_clickhouse() {
        for (length, expected) in GOLDEN {
            let text: Vec<u8> = (0..length).map(|n| b'a' + (n % 26) as u8).collect();
            assert_eq!(city_hash_64(&text), expected, "{length} bytes");
        }
    }

    const GOLDEN: [(usize, u64); 16] = [
        (0, 11_160_318_154_034_397_263),
        (1, 2_603_192_927_274_642_682),
        (3, 4_220_206_313_085_259_313),
        (4, 17_823_623_939_509_273_229),
        (8, 4_864_636_163_090_995_991),
        (9, 7_406_163_328_168_016_081),
        (10, 13_358_420_144_953_240_196),
        (16, 13_242_281_798_114_038_465),
        (17, 237_482_408_704_357_350),
        (32, 4_401_604_186_254_454_218),
        (33, 6_149_775_935_917_593_809),
        (64, 10_870_159_159_245_104_547),
        (65, 13_407_693_885_279_354_766),
        (128, 13_102_153_355_302_731_846),
        (129, 8_716_585_674_679_283_391),
        (200, 10_258_548_877_153_202_531),
    ];
}
