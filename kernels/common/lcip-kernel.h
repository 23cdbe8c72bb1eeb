#pragma once

#include "lcip-cpu.h"
#include "lcip-operator.h"
#include "lcip-team.h"

G_BEGIN_DECLS

typedef enum {
  LCIP_DEVICE_CPU,
  LCIP_DEVICE_OPENCL,
  LCIP_DEVICE_REMOTE,
  LCIP_N_DEVICE_KINDS
} LcipDeviceKind;

/** LcipNumerics: how far a kernel's result may be from the reference's.
 * EXACT: bit for bit. REASSOCIATED: sums in another order. WINOGRAD: other products too. */
typedef enum {
  LCIP_NUMERICS_EXACT,
  LCIP_NUMERICS_REASSOCIATED,
  LCIP_NUMERICS_WINOGRAD
} LcipNumerics;

/** LcipBlob: prepared weights; immutable, atomically reference-counted, shared by all instances. */
typedef struct _LcipBlob LcipBlob;
/** lcip_blob_new: zeroed, LCIP_TENSOR_ALIGN aligned; NULL when it cannot be allocated. */
LcipBlob *lcip_blob_new(gsize size_bytes);
LcipBlob *lcip_blob_ref(LcipBlob *blob);
void lcip_blob_unref(LcipBlob *blob);
/** lcip_blob_is_shared: others than the caller hold references. */
gboolean lcip_blob_is_shared(const LcipBlob *blob);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LcipBlob, lcip_blob_unref)
void *lcip_blob_data(LcipBlob *blob);
gsize lcip_blob_bytes(const LcipBlob *blob);

/** LcipPortFormats: the formats of a step's inputs and outputs, for the kernel to settle. On entry
 * @inputs are the formats the tensors have now (preferences); the kernel changes those that it
 * cannot take (the plan then adds reorder steps) and sets every output. @n_* as in the step. */
#define LCIP_MAX_PORTS 64
typedef struct {
  LcipFormat inputs[LCIP_MAX_PORTS];
  LcipFormat outputs[LCIP_MAX_PORTS];
} LcipPortFormats;

/** LcipCall: one firing of a step by its kernel. All borrowed; scratch holds scratch_bytes().
 * Views of constants are there too, unless prepared replaced them. */
typedef struct {
  const LcipStep *step;
  LcipBlob *prepared;
  LcipTensorView *inputs;
  LcipTensorView *outputs;
  void *scratch;
  void *prepared_buffer; /* OpenCL: cl_mem with a copy of the blob */
  void *scratch_buffer;  /* OpenCL: cl_mem */
  guint64 frame;
} LcipCall;

typedef struct _LcipClQueue LcipClQueue;

/** LcipKernelSweep: several firings of a step, each on its own data, in one sweep over the weights
 * that they share: each part of these is read from memory once for all of them.
 * @weights: the input that is the same in all of them, a constant. @least_bytes: of these, below
 * which a sweep does not pay.
 * @supports: may be NULL for all steps that the kernel supports.
 * @job_bytes: room for what begin() makes of a firing.
 * @begin: fills @job from @call, which must stay, and does what comes before; @n_parts follows from
 * the weights alone.
 * @run: part @part of @n_jobs firings (1 at least). Parts run in any order, on any threads.
 * @end: may be NULL: what comes after all parts. The results are bit for bit those of the kernel's
 * run(). */
typedef struct {
  guint weights;
  gsize least_bytes, job_bytes;
  gboolean (*supports)(const LcipStep *step);
  gboolean (*begin)(const LcipCall *call, gpointer job, LcipTeam *team, guint *n_parts,
                    GError **error);
  void (*run)(const gconstpointer *jobs, guint n_jobs, guint part);
  void (*end)(gpointer job, LcipTeam *team);
} LcipKernelSweep;

/** LcipKernel: the const descriptor at the end of every implementation file.
 * @name: "conv-ref"; unique. @family: "reference", "openblas", "blocked", "opencl".
 * @operators: NULL-terminated list of anchors, as "Conv" or "lcip.PictureToTensor".
 * @needs: CPU features without which the kernel is passed over.
 * @tolerance: largest |difference| / max(1, |reference|) that conformance allows; 0 for EXACT.
 * @inplace: output 0 may share memory with an epilogue's side input, and for element-wise operators
 *   with input 0 of the same size and format.
 * @supports: can it do this step? Settles @formats; otherwise FALSE with @reason set to a static
 *   text that says what it cannot do.
 * @estimate: may be NULL. Where several kernels for one instruction set can do a step, and the
 * first of them has this, the one with the least is taken unless measurements are at hand:
 * multiply-adds of a vector, and what else takes as long. 0: no other kernel competes.
 * @blob_bytes: what prepare() will take for the planned step; may be NULL where nobody asks (all
 * but Winograd's and those that sweep).
 * @scratch_bytes: may be NULL for none. @workers: size of the lane's team.
 * @prepare: may be NULL. Turns constants into *@blob once, from step->constants.
 * @prepared_inputs: bit i set: the anchor's input i lives in the blob alone; its view's data is
 *   NULL. Side inputs of epilogues never do.
 * @any_address: bit i set: the anchor's constant input i is read where the file has it, at any
 *   address, by prepare() too, so that it is not copied to be aligned. CPU kernels.
 * @run: CPU kernels. @enqueue: OpenCL kernels; puts its work on the in-order queue, waits for none.
 *   Both take any data (a plan is warmed up on zeros), allocate nothing and fail with an error that
 * ends the run. Shapes in @step are planned, those in the call's views actual. Results must not
 * depend on thread count, splits or addresses.
 * @sweep: may be NULL; for CPU kernels whose time is that of reading weights. */
typedef struct {
  const char *name;
  const char *family;
  LcipDeviceKind device;
  const char *const *operators;
  LcipCpuFeatures needs;
  LcipNumerics numerics;
  float tolerance;
  gboolean inplace;
  guint64 prepared_inputs;
  guint64 any_address;
  gboolean (*supports)(const LcipStep *step, LcipPortFormats *formats, const char **reason);
  double (*estimate)(const LcipStep *step);
  gsize (*blob_bytes)(const LcipStep *step);
  gsize (*scratch_bytes)(const LcipStep *step, const LcipPortFormats *formats, guint workers);
  gboolean (*prepare)(const LcipStep *step, const LcipPortFormats *formats, LcipBlob **blob,
                      GError **error);
  gboolean (*run)(const LcipCall *call, LcipTeam *team, GError **error);
  gboolean (*enqueue)(const LcipCall *call, LcipClQueue *queue, GError **error);
  const LcipKernelSweep *sweep;
} LcipKernel;

/** lcip_kernels_hash: of the kernels' sources and of how they were compiled. */
extern const char lcip_kernels_hash[];
/** lcip_kernel_table: all kernels of the build, best first, references last. */
const LcipKernel *const *lcip_kernel_table(guint *n);
const LcipKernel *lcip_kernel_find(const char *name);
/** lcip_kernel_handles: @kernel lists the anchor of @step, the CPU has what it needs. */
gboolean lcip_kernel_handles(const LcipKernel *kernel, const LcipStep *step);
/** lcip_kernel_supports: handles, and its supports() agrees. @reason may be NULL. */
gboolean lcip_kernel_supports(const LcipKernel *kernel, const LcipStep *step,
                              LcipPortFormats *formats, const char **reason);
/** lcip_kernel_run_reference: runs @step on the reference kernels, on the calling thread, with
 * dense host views; epilogues are applied by their own reference kernels. Used for folding and as
 * the oracle of tests and `lcip verify`. */
gboolean lcip_kernel_run_reference(const LcipStep *step, LcipTensorView *inputs,
                                   LcipTensorView *outputs, GError **error);

/** LCIP_FORMATS_DENSE: for supports(): everything dense. */
void lcip_formats_dense(const LcipStep *step, LcipPortFormats *formats);
/** lcip_formats_agree: of two settlings for @step: computed inputs and outputs are in the same
 * formats.
 */
gboolean lcip_formats_agree(const LcipStep *step, const LcipPortFormats *a,
                            const LcipPortFormats *b);
/** lcip_step_all_f32: every present input and every output is f32 (inputs in @skip_mask aside). */
gboolean lcip_step_all_f32(const LcipStep *step, guint64 skip_mask);

/** lcip_epilogues_activation_only / ..: for supports(): FALSE with a reason when an epilogue is not
 * one of Add (with a side input of the output's shape), Relu, Clip, LeakyRelu, Sigmoid, HardSwish,
 * HardSigmoid, Tanh, Swish, Mish, lcip.ScaledHardSwish; with constant bounds. */
gboolean lcip_epilogues_common(const LcipStep *step, const char **reason);

/** lcip_reorder_operator: LCIP's internal operator "lcip.Reorder": one input, one output, same
 * logical tensor, other format. The plan adds such steps. */
const LcipOperator *lcip_reorder_operator(void);

G_END_DECLS
