/* What a processor can do with a layer that learns, for benchmarks/limits.py: w += s_j before_i - d w, h = W x, in one
   pass over the weights. cc -O3 -march=native -ffast-math -mprefer-vector-width=512 -shared -fPIC

   W is [post, pre] = [n, m], or [m, n] where rows are skipped. `before` and `x` are the rates of an example and of the
   next one. Sizes of rows are multiples of 64. */

#include <immintrin.h>
#include <string.h>

typedef const float *restrict in;
typedef float *restrict out;

#ifdef __AVX512F__
typedef __m512 vec;
#define WIDE 16
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define ALL _mm512_set1_ps
#define ADD _mm512_add_ps
#define MUL _mm512_mul_ps
#define MUL_SUB _mm512_fmsub_ps
#define MUL_ADD _mm512_fmadd_ps
#else
typedef __m256 vec;
#define WIDE 8
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
#define ALL _mm256_set1_ps
#define ADD _mm256_add_ps
#define MUL _mm256_mul_ps
#define MUL_SUB _mm256_fmsub_ps
#define MUL_ADD _mm256_fmadd_ps
#endif

/* Each weight read and written, and nothing else. */
static void scale(long n, long m, out w, float keep) {
  for (long k = 0; k < n * m; k++) w[k] *= keep;
}

static float total(vec a, vec b, vec c, vec d) {
  float t[WIDE], sum = 0;
  STORE(t, ADD(ADD(a, b), ADD(c, d)));
  for (int k = 0; k < WIDE; k++) sum += t[k];
  return sum;
}

/* A vector of weights of one row: what they become, and what they add to a sum. */
#define LEARN(w, at, s, t)                                                          \
  {                                                                                 \
    vec old = LOAD(w + at), dw = MUL_SUB(s, LOAD(before + at), MUL(decay, old));     \
    vec new = ADD(old, dw);                                                         \
    STORE(w + at, new);                                                             \
    t = MUL_ADD(new, LOAD(x + at), t);                                              \
  }
#define FOUR (4 * WIDE)

/* One row after the other. */
static void rows(long n, long m, out w, in before, in x, in s, out h, float d) {
  vec decay = ALL(d);
  for (long j = 0; j < n; j++, w += m) {
    vec sj = ALL(s[j]), t0 = ALL(0), t1 = t0, t2 = t0, t3 = t0;
    for (long i = 0; i < m; i += FOUR) {
      LEARN(w, i, sj, t0) LEARN(w, i + WIDE, sj, t1) LEARN(w, i + 2 * WIDE, sj, t2) LEARN(w, i + 3 * WIDE, sj, t3)
    }
    h[j] = total(t0, t1, t2, t3);
  }
}

/* The same, and memory asked for 4 kB before it is read. */
static void ahead(long n, long m, out w, in before, in x, in s, out h, float d) {
  vec decay = ALL(d);
  for (long j = 0; j < n; j++, w += m) {
    vec sj = ALL(s[j]), t0 = ALL(0), t1 = t0, t2 = t0, t3 = t0;
    for (long i = 0; i < m; i += FOUR) {
      for (long k = 0; k < FOUR; k += 16) __builtin_prefetch(w + i + k + 1024);
      LEARN(w, i, sj, t0) LEARN(w, i + WIDE, sj, t1) LEARN(w, i + 2 * WIDE, sj, t2) LEARN(w, i + 3 * WIDE, sj, t3)
    }
    h[j] = total(t0, t1, t2, t3);
  }
}

/* Two rows at once: the rates are read once for both. */
static void pairs(long n, long m, out w, in before, in x, in s, out h, float d) {
  vec decay = ALL(d);
  for (long j = 0; j < n; j += 2, w += 2 * m) {
    float *v = w + m;
    vec sj = ALL(s[j]), sk = ALL(s[j + 1]), t0 = ALL(0), t1 = t0, t2 = t0, t3 = t0, u0 = t0, u1 = t0, u2 = t0, u3 = t0;
    for (long i = 0; i < m; i += FOUR) {
      LEARN(w, i, sj, t0) LEARN(v, i, sk, u0) LEARN(w, i + WIDE, sj, t1) LEARN(v, i + WIDE, sk, u1)
      LEARN(w, i + 2 * WIDE, sj, t2) LEARN(v, i + 2 * WIDE, sk, u2) LEARN(w, i + 3 * WIDE, sj, t3)
      LEARN(v, i + 3 * WIDE, sk, u3)
    }
    h[j] = total(t0, t1, t2, t3);
    h[j + 1] = total(u0, u1, u2, u3);
  }
}

/* The presynaptic units that were or are not silent. */
static long active(long m, in before, in x, int *restrict list) {
  long count = 0;
  for (long i = 0; i < m; i++)
    if (before[i] != 0 || x[i] != 0) list[count++] = i;
  return count;
}

/* Rows [pre, post] of `list`, four at once: each learns by `s_j p_i - d_i w` and adds `w q_i` to the currents. */
static void four(long n, out w, const int *restrict list, long count, in p, in d, in q, in s, out h) {
  memset(h, 0, n * sizeof *h);
  long k = 0;
  for (; k + 4 <= count; k += 4) {
    long a = list[k], b = list[k + 1], c = list[k + 2], e = list[k + 3];
    float *wa = w + a * n, *wb = w + b * n, *wc = w + c * n, *we = w + e * n;
    for (long j = 0; j < n; j++) {
      float t = h[j], v;
      v = wa[j], v += s[j] * p[a] - d[a] * v, wa[j] = v, t += v * q[a];
      v = wb[j], v += s[j] * p[b] - d[b] * v, wb[j] = v, t += v * q[b];
      v = wc[j], v += s[j] * p[c] - d[c] * v, wc[j] = v, t += v * q[c];
      v = we[j], v += s[j] * p[e] - d[e] * v, we[j] = v, t += v * q[e];
      h[j] = t;
    }
  }
  for (; k < count; k++) {
    long a = list[k];
    for (long j = 0; j < n; j++) {
      float v = w[a * n + j];
      v += s[j] * p[a] - d[a] * v, w[a * n + j] = v, h[j] += v * q[a];
    }
  }
}

/* Rows of silent units are left as they are. What they would have decayed is done step by step when they are needed, so
   that no bit depends on when that is. `late`: the steps that each row is behind; `room`: for 2 m numbers. */
static void skipping(long n, long m, out w, in before, in x, in s, out h, float d, int *restrict late,
                     int *restrict list, out room) {
  long count = active(m, before, x, list);
  for (long i = 0; i < m; i++) {
    late[i] += before[i] == 0;
    room[i] = before[i] == 0 ? 0 : d;
  }
  for (long k = 0; k < count; k++) {
    float *row = w + (long)list[k] * n, keep = 1 - d;
    int steps = late[list[k]];
    late[list[k]] = 0;
    for (; steps >= 4; steps -= 4)
      for (long j = 0; j < n; j++) row[j] = row[j] * keep * keep * keep * keep;
    for (; steps > 0; steps--)
      for (long j = 0; j < n; j++) row[j] *= keep;
  }
  four(n, w, list, count, before, room, x, s, h);
}

/* The same with one factor for all weights, which takes the decay: bits then depend on when it is put back. */
static void scaled(long n, long m, out w, in before, in x, in s, out h, float d, float *factor, int *restrict list,
                   out room) {
  long count = active(m, before, x, list);
  float all = *factor *= 1 - d;
  for (long k = 0; k < count; k++) {
    long i = list[k];
    room[i] = before[i] / all, room[m + i] = x[i] * all, room[2 * m + i] = 0;
  }
  four(n, w, list, count, room, room + 2 * m, room + m, s, h);
  if (all < 0.5f) {
    scale(n, m, w, all);
    *factor = 1;
  }
}

/* `steps` examples of [steps + 1, m], in one of the ways. `late` and `factor` are what it has put off; `list` has room
   for m, `room` for 3 m numbers. */
void run(int way, long steps, long n, long m, float *w, const float *examples, const float *s, float *h, float d,
         int *late, float *factor, int *list, float *room) {
  for (long k = 0; k < steps; k++) {
    const float *before = examples + k * m, *x = before + m;
    switch (way) {
      case 0: scale(n, m, w, 1 - d); break;
      case 1: rows(n, m, w, before, x, s, h, d); break;
      case 2: ahead(n, m, w, before, x, s, h, d); break;
      case 3: pairs(n, m, w, before, x, s, h, d); break;
      case 4: skipping(n, m, w, before, x, s, h, d, late, list, room); break;
      default: scaled(n, m, w, before, x, s, h, d, factor, list, room);
    }
  }
}
