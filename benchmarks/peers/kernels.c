/* What a careful hand writes for the cases of cases.py: one pass over the weights to compute, one to learn; V is read
 * and updated in one. Compiled by c.py with -O3 -march=native -ffast-math. */
#include <math.h>
#include <string.h>

static void softmax_error(int n, const float *z, const float *y, float *e) {
    float top = z[0], total = 0;
    for (int i = 1; i < n; i++) top = z[i] > top ? z[i] : top;
    for (int i = 0; i < n; i++) total += e[i] = expf(z[i] - top);
    for (int i = 0; i < n; i++) e[i] = y[i] - e[i] / total;
}

static float dot(int n, const float *restrict w, const float *restrict x) {
    float total = 0;
    for (int i = 0; i < n; i++) total += w[i] * x[i];
    return total;
}

static void change(int n, float *restrict w, float keep, float s, const float *restrict x) {
    for (int i = 0; i < n; i++) w[i] = keep * w[i] + s * x[i];
}

/* Online: weights W[k] [n[k + 1]][n[k]], feedback V[k] [n[k]][n[k + 1]] for 0 < k < depth; h, g: room for the rates. */
void online(int depth, const int *n, float **W, float **V, const float *x, const float *y, int examples, float eta,
            float gamma, float **h, float **g) {
    const float keep = 1 - eta * gamma;
    for (int t = 0; t < examples; t++) {
        h[0] = (float *)x + (long)t * n[0];
        for (int k = 0; k < depth; k++)
            for (int j = 0; j < n[k + 1]; j++) {
                float z = dot(n[k], W[k] + (long)j * n[k], h[k]);
                h[k + 1][j] = k + 1 < depth && z < 0 ? 0 : z;
            }
        softmax_error(n[depth], h[depth], y + (long)t * n[depth], g[depth]);
        for (int k = depth - 1; k > 0; k--)
            for (int j = 0; j < n[k]; j++) {
                float *v = V[k] + (long)j * n[k + 1];
                g[k][j] = h[k][j] > 0 ? dot(n[k + 1], v, g[k + 1]) : 0;
                change(n[k + 1], v, keep, eta * h[k][j], g[k + 1]);
            }
        for (int k = 0; k < depth; k++)
            for (int j = 0; j < n[k + 1]; j++) change(n[k], W[k] + (long)j * n[k], keep, eta * g[k + 1][j], h[k]);
    }
}

static void learn(int n, int m, int batch, float *w, const float *s, const float *x, float eta, float keep, float *row) {
    for (int j = 0; j < n; j++) {
        memset(row, 0, sizeof(float) * m);
        for (int b = 0; b < batch; b++) change(m, row, 1, s[(long)b * n + j], x + (long)b * m);
        change(m, w + (long)j * m, keep, eta / batch, row);
    }
}

/* The same in batches; h, g: [batch][n[k]]. */
void batches(int depth, const int *n, float **W, float **V, const float *x, const float *y, int examples, int batch,
             float eta, float gamma, float **h, float **g, float *row) {
    const float keep = 1 - eta * gamma;
    for (int t = 0; t + batch <= examples; t += batch) {
        h[0] = (float *)x + (long)t * n[0];
        for (int k = 0; k < depth; k++)
            for (int j = 0; j < n[k + 1]; j++)
                for (int b = 0; b < batch; b++) {
                    float z = dot(n[k], W[k] + (long)j * n[k], h[k] + (long)b * n[k]);
                    h[k + 1][(long)b * n[k + 1] + j] = k + 1 < depth && z < 0 ? 0 : z;
                }
        for (int b = 0; b < batch; b++)
            softmax_error(n[depth], h[depth] + b * n[depth], y + (long)(t + b) * n[depth], g[depth] + b * n[depth]);
        for (int k = depth - 1; k > 0; k--)
            for (int j = 0; j < n[k]; j++)
                for (int b = 0; b < batch; b++) {
                    float z = dot(n[k + 1], V[k] + (long)j * n[k + 1], g[k + 1] + (long)b * n[k + 1]);
                    g[k][(long)b * n[k] + j] = h[k][(long)b * n[k] + j] > 0 ? z : 0;
                }
        for (int k = 0; k < depth; k++) learn(n[k + 1], n[k], batch, W[k], g[k + 1], h[k], eta, keep, row);
        for (int k = 1; k < depth; k++) learn(n[k], n[k + 1], batch, V[k], h[k], g[k + 1], eta, keep, row);
    }
}

/* One layer, rate tanh: all weights are there. */
void wide(int n, int m, float *w, const float *x, const float *y, int examples, float eta, float gamma) {
    for (int t = 0; t < examples; t++, x += m, y += n)
        for (int j = 0; j < n; j++) {
            float *row = w + (long)j * m;
            change(m, row, 1 - eta * gamma, eta * (y[j] - tanhf(dot(m, row, x))), x);
        }
}

/* The same where row j has the weights from starts[j] to before starts[j + 1]. */
void few(int n, int m, const long *starts, const int *columns, float *w, const float *x, const float *y, int examples,
         float eta, float gamma) {
    for (int t = 0; t < examples; t++, x += m, y += n)
        for (int j = 0; j < n; j++) {
            float z = 0;
            for (long k = starts[j]; k < starts[j + 1]; k++) z += w[k] * x[columns[k]];
            float s = eta * (y[j] - tanhf(z)), keep = 1 - eta * gamma;
            for (long k = starts[j]; k < starts[j + 1]; k++) w[k] = keep * w[k] + s * x[columns[k]];
        }
}

/* Reads and writes every number so many times: bytes a second are what memory of this size gives. */
void touch(long n, float *w, float keep, long times) {
    for (long t = 0; t < times; t++)
        for (long i = 0; i < n; i++) w[i] *= keep;
}

/* The longest vectors that the compiler was allowed, and as many sums of products as hide the latency of one another. */
#if defined(__AVX512F__)
typedef float vec __attribute__((vector_size(64)));
#elif defined(__AVX__)
typedef float vec __attribute__((vector_size(32)));
#else
typedef float vec __attribute__((vector_size(16)));
#endif
#define SUMS 10

/* Products that are added up in registers, and nothing else: how many there were. `held`: SUMS + 2 vectors. */
long products(long times, float *held) {
    vec s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, a, b, *all[SUMS + 2] = {&s0, &s1, &s2, &s3, &s4, &s5, &s6, &s7, &s8, &s9, &a, &b};
    for (int k = 0; k < SUMS + 2; k++) memcpy(all[k], held + k * (sizeof(vec) / sizeof(float)), sizeof(vec));
    for (long t = 0; t < times; t++) {
        s0 = s0 * a + b, s1 = s1 * a + b, s2 = s2 * a + b, s3 = s3 * a + b, s4 = s4 * a + b;
        s5 = s5 * a + b, s6 = s6 * a + b, s7 = s7 * a + b, s8 = s8 * a + b, s9 = s9 * a + b;
    }
    for (int k = 0; k < SUMS; k++) memcpy(held + k * (sizeof(vec) / sizeof(float)), all[k], sizeof(vec));
    return times * SUMS * (long)(sizeof(vec) / sizeof(float));
}
