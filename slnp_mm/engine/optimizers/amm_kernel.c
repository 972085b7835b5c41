/* One pass of the AMM update over many dense tensors (CPU, fused path).
 *
 * Per element, with t the step of the tensor:
 *   m <- m + (1 - beta1) (g - m)
 *   v <- beta2 v + (1 - beta2) g^2
 *   P <- alpha P + step_size m / sqrt(v + offset)
 *   x <- decay x - P
 * where step_size = eta sqrt(1 - beta2^t) / (1 - beta1^t) and
 * offset = delta (1 - beta2^t), so that the quotient is
 * eta m_hat / sqrt(v_hat + delta).
 *
 * The work is cut into chunks that fit the second cache level; threads
 * share the chunks of all tensors, so that one long tensor and a hundred
 * short ones are spread equally well.
 */
#include <math.h>
#include <stdint.h>

#define CHUNK 8192

typedef struct {
  int64_t numel;
  void *param, *grad, *exp_avg, *exp_avg_sq, *momentum_buffer;
  double step_size, offset;
} amm_tensor;

typedef struct {
  double beta1, beta2, alpha, decay, sign;
} amm_options;

/* The tensor that holds the chunk: the last one with first[i] <= chunk. */
static int64_t find_tensor(const int64_t *first, int64_t count,
                           int64_t chunk) {
  int64_t low = 0, high = count;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    if (first[middle] <= chunk)
      low = middle;
    else
      high = middle;
  }
  return low;
}

#define DEFINE_AMM(NAME, REAL, SQRT)                                        \
  static void NAME##_chunk(const amm_tensor *t, const amm_options *o,       \
                           int64_t begin, int64_t end) {                    \
    REAL *restrict x = (REAL *)t->param;                                    \
    const REAL *restrict g = (const REAL *)t->grad;                         \
    REAL *restrict m = (REAL *)t->exp_avg;                                  \
    REAL *restrict v = (REAL *)t->exp_avg_sq;                               \
    REAL *restrict p = (REAL *)t->momentum_buffer;                          \
    const REAL rest1 = (REAL)(1.0 - o->beta1), beta2 = (REAL)o->beta2;      \
    const REAL rest2 = (REAL)(1.0 - o->beta2), alpha = (REAL)o->alpha;      \
    const REAL decay = (REAL)o->decay, sign = (REAL)o->sign;                \
    const REAL size = (REAL)t->step_size, offset = (REAL)t->offset;         \
    for (int64_t i = begin; i < end; ++i) {                                 \
      const REAL grad = sign * g[i];                                        \
      const REAL first = m[i] + rest1 * (grad - m[i]);                      \
      const REAL second = beta2 * v[i] + rest2 * grad * grad;               \
      const REAL move =                                                     \
          alpha * p[i] + size * first / SQRT(second + offset);              \
      m[i] = first;                                                         \
      v[i] = second;                                                        \
      p[i] = move;                                                          \
      x[i] = decay * x[i] - move;                                           \
    }                                                                       \
  }                                                                         \
                                                                            \
  void NAME(const amm_tensor *tensors, const int64_t *first, int64_t count, \
            const amm_options *options, int threads) {                      \
    const int64_t chunks = first[count];                                    \
    (void)threads; /* read by OpenMP only */                                \
    _Pragma("omp parallel for schedule(static) num_threads(threads)")       \
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {                      \
      const int64_t index = find_tensor(first, count, chunk);               \
      const amm_tensor *tensor = tensors + index;                           \
      const int64_t begin = (chunk - first[index]) * CHUNK;                 \
      const int64_t left = tensor->numel - begin;                           \
      NAME##_chunk(tensor, options, begin,                                  \
                   begin + (left < CHUNK ? left : CHUNK));                  \
    }                                                                       \
  }

DEFINE_AMM(amm_float, float, sqrtf)
DEFINE_AMM(amm_double, double, sqrt)

int64_t amm_chunk_size(void) { return CHUNK; }
