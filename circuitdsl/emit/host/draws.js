// The random streams that initial values come from: `stream(seed, name)` is the generator that
// circuitdsl/graph/initial.py keys by a seed and the name of an entity. Uniform numbers are NumPy's to the last bit,
// normal ones within 1e-14, for the tables of the ziggurat are computed here.
// ---------------------------------------------------------------- SHA-256 (FIPS 180-4)

function primes(count) {
  const found = [];
  for (let n = 2; found.length < count; n++) if (found.every((p) => n % p)) found.push(n);
  return found;
}

// The first 32 bits of the fraction of a root; double precision holds 52.
const fraction = (root) => Math.floor((root - Math.floor(root)) * 2 ** 32) | 0;
const FIRST = primes(8).map((p) => fraction(Math.sqrt(p)));
const ROUND = primes(64).map((p) => fraction(Math.cbrt(p)));

const turned = (word, by) => (word >>> by) | (word << (32 - by));

// The digest of a text as eight words, each read with its first byte lowest.
function sha256(text) {
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, bytes.length * 8);
  const hash = Int32Array.from(FIRST);
  const w = new Int32Array(64);
  for (let start = 0; start < padded.length; start += 64) {
    for (let t = 0; t < 16; t++) w[t] = view.getInt32(start + 4 * t);
    for (let t = 16; t < 64; t++) {
      const s0 = turned(w[t - 15], 7) ^ turned(w[t - 15], 18) ^ (w[t - 15] >>> 3);
      const s1 = turned(w[t - 2], 17) ^ turned(w[t - 2], 19) ^ (w[t - 2] >>> 10);
      w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let t = 0; t < 64; t++) {
      const big = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
      const one = (h + big + ((e & f) ^ (~e & g)) + ROUND[t] + w[t]) | 0;
      const two = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((word, i) => (hash[i] += word));
  }
  const out = new DataView(new ArrayBuffer(32));
  hash.forEach((word, i) => out.setInt32(4 * i, word));
  return Array.from({ length: 8 }, (_, i) => out.getUint32(4 * i, true));
}

// ---------------------------------------------------------------- the seed of a stream (O'Neill's seed_seq, four words)

// A hash whose multiplier changes with each use.
function hasher(start, multiplier) {
  let constant = start;
  return (word) => {
    const before = word ^ constant;
    constant = Math.imul(constant, multiplier);
    const mixed = Math.imul(before, constant);
    return mixed ^ (mixed >>> 16);
  };
}

function mixed(a, b) {
  const both = (Math.imul(0xca01f9dd, a) - Math.imul(0x4973f715, b)) | 0;
  return both ^ (both >>> 16);
}

// Four words of 64 bits from words of 32.
function spread(entropy) {
  const hash = hasher(0x43b0d7e5, 0x931e8875);
  const pool = [0, 1, 2, 3].map((i) => hash(entropy[i] ?? 0));
  for (let from = 0; from < 4; from++) {
    for (let to = 0; to < 4; to++) if (from !== to) pool[to] = mixed(pool[to], hash(pool[from]));
  }
  for (const word of entropy.slice(4)) for (let to = 0; to < 4; to++) pool[to] = mixed(pool[to], hash(word));
  const out = hasher(0x8b51f9dd, 0x58f38ded);
  const words = Array.from({ length: 8 }, (_, i) => BigInt(out(pool[i % 4]) >>> 0));
  return [0, 2, 4, 6].map((i) => words[i] | (words[i + 1] << 32n));
}

// ---------------------------------------------------------------- the stream (PCG XSL RR 128/64)

const MULTIPLIER = 0x2360ed051fc65da44385df649fccf645n;
const word128 = (number) => BigInt.asUintN(128, number);
const word64 = (number) => BigInt.asUintN(64, number);

// The stream of an entity under a seed.
export function stream(seed, name) {
  return new Stream(spread([seed, ...sha256(name)]));
}

class Stream {
  constructor([a, b, c, d]) {
    this.increment = word128((((c << 64n) | d) << 1n) | 1n);
    this.state = word128((this.increment + ((a << 64n) | b)) * MULTIPLIER + this.increment);
  }

  // 64 random bits.
  bits() {
    this.state = word128(this.state * MULTIPLIER + this.increment);
    const folded = word64((this.state >> 64n) ^ this.state);
    const by = this.state >> 122n;
    return word64((folded >> by) | (folded << (64n - by)));
  }

  // In [0, 1).
  uniform() {
    return Number(this.bits() >> 11n) * 2 ** -53;
  }

  // Standard normal, by the ziggurat of Marsaglia and Tsang 2000 with 256 layers.
  normal() {
    for (;;) {
      const word = this.bits();
      const layer = Number(word & 0xffn);
      const size = Number((word >> 9n) & 0xfffffffffffffn);
      const x = (word >> 8n) & 1n ? -size * LAYERS.width[layer] : size * LAYERS.width[layer];
      if (size < LAYERS.inside[layer]) return x;
      if (layer === 0) return this.tail((word >> 17n) & 1n);
      const [above, below] = [LAYERS.height[layer - 1], LAYERS.height[layer]];
      if ((above - below) * this.uniform() + below < Math.exp(-0.5 * x * x)) return x;
    }
  }

  // Beyond the last layer.
  tail(negative) {
    for (;;) {
      const x = -Math.log1p(-this.uniform()) / EDGE;
      const y = -Math.log1p(-this.uniform());
      if (y + y > x * x) return negative ? -(EDGE + x) : EDGE + x;
    }
  }
}

// Where the tail of the ziggurat begins, and the area of each of its layers.
const EDGE = 3.654152885361009;
const AREA = 0.004928673233974658;

// For each layer: the width of a unit of 2^-52, below how many of them a point is inside for sure, and the density at
// its outer end. The lowest one holds the tail.
function layers() {
  const density = (x) => Math.exp(-0.5 * x * x);
  const ends = new Float64Array(257);
  ends[256] = AREA / density(EDGE);
  ends[255] = EDGE;
  for (let i = 254; i > 0; i--) ends[i] = Math.sqrt(-2 * Math.log(AREA / ends[i + 1] + density(ends[i + 1])));
  const width = new Float64Array(256);
  const inside = new Float64Array(256);
  const height = new Float64Array(256);
  for (let layer = 0; layer < 256; layer++) {
    const outer = ends[layer === 0 ? 256 : layer];
    const inner = layer === 0 ? EDGE : ends[layer - 1];
    width[layer] = outer / 2 ** 52;
    inside[layer] = Math.floor((inner / outer) * 2 ** 52);
    height[layer] = layer === 0 ? 1 : density(outer);
  }
  return { width, inside, height };
}

const LAYERS = layers();
