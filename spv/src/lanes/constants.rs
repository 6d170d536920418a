//! The numbers of SHA-256 (FIPS 180-4), once, for every lane.

/// The state before the first block (FIPS 180-4, 5.3.3).
pub(super) const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The first word after a message: a one bit, then zeros (FIPS 180-4, 5.1.1).
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(super) const END_OF_MESSAGE: u32 = 0x8000_0000;

/// Length of a header in bits: the last word of its second block.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(super) const HEADER_BITS: u32 = 80 * 8;

/// Length of a Merkle node in bits: the last word of its second block.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
const NODE_BITS: u32 = 64 * 8;

/// Length of a digest in bits: the last word of the second hash's only block.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(super) const DIGEST_BITS: u32 = 32 * 8;

/// The constant of each round (FIPS 180-4, 4.2.2).
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(super) const K: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// What each round of a Merkle node's second block adds: the block is padding alone, so its schedule is known, and the
/// round constants are in it already.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
pub(super) const NODE_PADDING: [u32; 64] = scheduled_with_constants(padding_of_a_node());

#[cfg(all(feature = "std", target_arch = "x86_64"))]
const fn padding_of_a_node() -> [u32; 16] {
    let mut block = [0; 16];
    block[0] = END_OF_MESSAGE;
    block[15] = NODE_BITS;
    block
}

/// The message schedule of a block (FIPS 180-4, 6.2.2) with each round's constant added.
#[cfg(all(feature = "std", target_arch = "x86_64"))]
const fn scheduled_with_constants(block: [u32; 16]) -> [u32; 64] {
    let mut w = [0_u32; 64];
    let mut t = 0;
    while t < 64 {
        w[t] = if t < 16 {
            block[t]
        } else {
            let (near, far) = (w[t - 15], w[t - 2]);
            let small_near = near.rotate_right(7) ^ near.rotate_right(18) ^ (near >> 3);
            let small_far = far.rotate_right(17) ^ far.rotate_right(19) ^ (far >> 10);
            w[t - 16].wrapping_add(small_near).wrapping_add(w[t - 7]).wrapping_add(small_far)
        };
        t += 1;
    }
    let mut t = 0;
    while t < 64 {
        w[t] = w[t].wrapping_add(K[t]);
        t += 1;
    }
    w
}
