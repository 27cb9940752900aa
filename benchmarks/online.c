/* What a specialist writes by hand for benchmarks/online.py: chains of layers with learned feedback, one example per
   step. cc -O3 -march=native -ffast-math -shared -fPIC

   sizes: of the populations, input first. W[l] is [sizes[l + 1], sizes[l]], V[l] is [sizes[l], sizes[l + 1]] (V[0] is
   not used). room: 4 * (the sum of sizes) numbers. */

#include <math.h>
#include <string.h>

typedef const float *restrict in;
typedef float *restrict out;

static void softmax_error(int n, in z, in y, out e) {
  float top = z[0], total = 0;
  for (int i = 0; i < n; i++) top = fmaxf(top, z[i]);
  for (int i = 0; i < n; i++) total += e[i] = expf(z[i] - top);
  for (int i = 0; i < n; i++) e[i] = y[i] - e[i] / total;
}

static void currents(int n, int m, in w, in x, out a, out h) {
  for (int j = 0; j < n; j++) {
    float total = 0;
    for (int i = 0; i < m; i++) total += w[(long)j * m + i] * x[i];
    a[j] = total;
    h[j] = fmaxf(total, 0);
  }
}

static void learn(int n, int m, out w, in g, in x, float eta, float keep) {
  for (int j = 0; j < n; j++) {
    float s = eta * g[j];
    for (int i = 0; i < m; i++) w[(long)j * m + i] = keep * w[(long)j * m + i] + s * x[i];
  }
}

static void credit(int n, int m, in v, in e, in a, out g) {
  for (int j = 0; j < n; j++) {
    float total = 0;
    for (int i = 0; i < m; i++) total += v[(long)j * m + i] * e[i];
    g[j] = a[j] > 0 ? total : 0;
  }
}

/* Each in one pass over the weights: the step before is learned, then the currents are summed. */
static void learn_and_currents(int n, int m, out w, in g, in before, in x, out a, out h, float eta, float keep) {
  for (int j = 0; j < n; j++) {
    float s = eta * g[j], total = 0;
    for (int i = 0; i < m; i++) {
      float v = keep * w[(long)j * m + i] + s * before[i];
      w[(long)j * m + i] = v;
      total += v * x[i];
    }
    a[j] = total;
    h[j] = fmaxf(total, 0);
  }
}

static void credit_and_learn(int n, int m, out v, in e, in a, in h, out g, float eta, float keep) {
  for (int j = 0; j < n; j++) {
    float s = eta * h[j], total = 0;
    for (int i = 0; i < m; i++) {
      float w = v[(long)j * m + i];
      total += w * e[i];
      v[(long)j * m + i] = keep * w + s * e[i];
    }
    g[j] = a[j] > 0 ? total : 0;
  }
}

/* fused: 0 as the equations stand, 1 each weight once per step. */
void train(int fused, int layers, const int *sizes, int steps, const float *x, const float *y, float eta, float gamma,
           float **W, float **V, float *room) {
  float *a[16], *h[16], *g[16], *before[16], keep = 1 - eta * gamma;
  int inputs = sizes[0], outputs = sizes[layers];
  for (int l = 0; l <= layers; l++, room += 4 * sizes[l - 1])
    a[l] = room, h[l] = room + sizes[l], g[l] = room + 2 * sizes[l], before[l] = room + 3 * sizes[l];
  for (int t = 0; t < steps; t++) {
    h[0] = (float *)x + (long)t * inputs;
    for (int l = 0; l < layers; l++)
      if (fused && t)
        learn_and_currents(sizes[l + 1], sizes[l], W[l], g[l + 1], before[l], h[l], a[l + 1], h[l + 1], eta, keep);
      else
        currents(sizes[l + 1], sizes[l], W[l], h[l], a[l + 1], h[l + 1]);
    softmax_error(outputs, a[layers], y + (long)t * outputs, g[layers]);
    for (int l = layers - 1; l > 0; l--)
      (fused ? credit_and_learn(sizes[l], sizes[l + 1], V[l], g[l + 1], a[l], h[l], g[l], eta, keep)
             : credit(sizes[l], sizes[l + 1], V[l], g[l + 1], a[l], g[l]));
    if (!fused) {
      for (int l = 0; l < layers; l++) learn(sizes[l + 1], sizes[l], W[l], g[l + 1], h[l], eta, keep);
      for (int l = 1; l < layers; l++) learn(sizes[l], sizes[l + 1], V[l], h[l], g[l + 1], eta, keep);
    } else
      for (int l = 0; l < layers; l++) {
        if (l) memcpy(before[l], h[l], sizes[l] * sizeof(float));
        else before[0] = h[0];
      }
  }
  if (fused)
    for (int l = 0; l < layers; l++) learn(sizes[l + 1], sizes[l], W[l], g[l + 1], before[l], eta, keep);
}
