// Random numbers as a function of where they are used: circuitdsl/noise.py in JavaScript, to the last bit.
//
// A number here is exact up to 2^53, so that products of two words are taken in halves.

// floor(a * b / 2^bits), exact for |a|, |b| up to 2^34 and bits from 16.
function scaled(a, b, bits) {
  const high = Math.floor(b / 65536);
  return Math.floor((a * high + Math.floor((a * (b - high * 65536)) / 65536)) / 2 ** (bits - 16));
}

// The first two words of Philox4x32-10 of a counter of four words under a key of two.
function philox(c0, c1, c2, c3, k0, k1) {
  for (let round = 0; round < 10; round++) {
    const t0 = (c0 >>> 0) * 0x1f53;
    const h0 = (c0 >>> 0) * 0xd251 + Math.floor(t0 / 65536);
    const t1 = (c2 >>> 0) * 0x8d57;
    const h1 = (c2 >>> 0) * 0xcd9e + Math.floor(t1 / 65536);
    c0 = (h1 / 65536) ^ c1 ^ k0;
    c2 = (h0 / 65536) ^ c3 ^ k1;
    c1 = (h1 << 16) | (t1 & 0xffff);
    c3 = (h0 << 16) | (t0 & 0xffff);
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  return [c0 >>> 0, c1 >>> 0];
}

// -log((word + 1) / 2^32) in units of 2^-31, at least 0.
export function minusLog31(word) {
  const shift = Math.min(32, Math.clz32(word + 1) + 1);
  const m = word === 0xffffffff ? 2 ** 32 : (word + 1) * 2 ** shift;
  const t = m - 3 * 2 ** 31;
  let p = scaled(3028149, t, 32) - 4974474;
  p = scaled(p, t, 32) + 5976723;
  p = scaled(p, t, 32) - 10101132;
  p = scaled(p, t, 32) + 17985969;
  p = scaled(p, t, 32) - 31471461;
  p = scaled(p, t, 32) + 56557418;
  p = scaled(p, t, 32) - 106045623;
  p = scaled(p, t, 32) + 212097190;
  p = scaled(p, t, 32) - 477218652;
  p = scaled(p, t, 32) + 1431655765;
  p = scaled(p, t, 32) + 870729690;
  return Math.max(0, (word === 0xffffffff ? 0 : shift) * 1488522236 - p);
}

// The square root of x * 2^-30, 0 <= x < 2^38, in units of 2^-27.
export function sqrt27(x) {
  let shift = 0;
  if (x < 2 ** 6) [x, shift] = [x * 2 ** 32, 32];
  if (x < 2 ** 22) [x, shift] = [x * 2 ** 16, shift + 16];
  if (x < 2 ** 30) [x, shift] = [x * 2 ** 8, shift + 8];
  if (x < 2 ** 34) [x, shift] = [x * 2 ** 4, shift + 4];
  if (x < 2 ** 36) [x, shift] = [x * 2 ** 2, shift + 2];
  const v = Math.floor(x / 64);
  let y = 1433765267 + scaled(v, scaled(v, 54972120, 30) - 440876804, 30);
  for (let step = 0; step < 3; step++) {
    y = scaled(y, 3 * 2 ** 30 - scaled(v, scaled(y, y, 30), 30), 31);
  }
  return Math.floor(scaled(v, y, 30) / 2 ** (shift / 2));
}

// cos(pi / 2 * (word + 1/2) / 2^31) in units of 2^-30, for a word below 2^31.
export function cosine30(word) {
  const x = 2 * word + 1;
  const t = scaled(x, word, 33);
  let p = scaled(-25581, t, 30) + 985397;
  p = scaled(p, t, 30) - 22401139;
  p = scaled(p, t, 30) + 272375361;
  p = scaled(p, t, 30) - 1324675862;
  p = scaled(p, t, 30) + 1073741824;
  return Math.max(0, p);
}

// A uniform number in units of 2^-24. An occurrence, which has 63 bits, is given as its high and its low word.
export function uniform24(seed, high, low, epoch, index, tick, unit) {
  return philox(unit, tick, index, epoch, seed ^ high, low)[0] >>> 8;
}

// A uniform number in units of 2^-53; its first 24 bits are `uniform24`.
export function uniform53(seed, high, low, epoch, index, tick, unit) {
  const [a, b] = philox(unit, tick, index, epoch, seed ^ high, low);
  return a * 2 ** 21 + (b >>> 11);
}

// A standard normal number in units of 2^-28.
export function normal28(seed, high, low, epoch, index, tick, unit) {
  const [a, b] = philox(unit, tick, index, epoch, seed ^ high, low);
  const size = scaled(sqrt27(minusLog31(a)), cosine30(b & 0x7fffffff), 29);
  return b >>> 31 ? -size : size;
}
