#include "backend/cpu/reduce.h"
#include "backend/cpu/wrap.h"
#include "backend/value_error.h"
#include "engine/pool.h"

namespace sn::cpu {

namespace {

constexpr int kMaxAxes = 32;

// The result's strides by input dimension, whether or not it keeps the reduced ones.
void reduce_view(const TensorView& x, uint64_t axes, const TensorView& out, ReduceKind kind,
                 void* out_mean) {
    int64_t strides[kMaxAxes] = {};
    const bool keepdims = out.rank == x.rank;
    for (int d = 0, at = 0; d < x.rank; ++d) {
        const bool reduced = axes >> d & 1;
        if (!reduced) strides[d] = out.strides[keepdims ? d : at];
        at += !reduced;
    }
    ReduceCall call{};
    call.kind = kind;
    call.dtype = x.dtype;
    call.out_dtype = out.dtype;
    call.rank = x.rank;
    call.shape = x.shape;
    call.strides = x.strides;
    call.axes = axes;
    call.in = x.data;
    call.out = out.data;
    call.out_mean = out_mean;
    call.out_strides = strides;
    reduce(call);
}

uint64_t axes_mask(const int64_t* attrs) {
    AttrWords words(attrs);
    int64_t count;
    const int64_t* axes = words.list(&count);
    uint64_t mask = 0;
    for (int64_t i = 0; i < count; ++i) mask |= uint64_t{1} << axes[i];
    return mask;
}

template <ReduceKind kind>
void kernel_reduce(const KernelCall& call) {  // attributes: axes, keepdims
    if (call.out[0].numel() == 0) return;
    reduce_view(call.in[0], axes_mask(call.attrs), call.out[0], kind, nullptr);
}
template <ReduceKind kind>
void kernel_arg(const KernelCall& call) {  // attributes: axis, keepdims
    if (call.out[0].numel() == 0) return;
    reduce_view(call.in[0], uint64_t{1} << call.attrs[0], call.out[0], kind, nullptr);
}
void kernel_var_mean(const KernelCall& call) {  // the two results have one layout
    if (call.out[0].numel() == 0) return;
    reduce_view(call.in[0], axes_mask(call.attrs), call.out[0], ReduceKind::kVar, call.out[1].data);
}

// ---- labels -------------------------------------------------------------------------------------

template <class Number, class Weight>
void check_labels(const KernelCall& call) {
    const TensorView& labels = call.in[0];
    const int64_t classes = call.attrs[0], ignore_index = call.attrs[1];
    const int64_t* from = labels.as<int64_t>();
    const Weight* class_weight = call.n_in > 1 ? call.in[1].as<Weight>() : nullptr;
    Number* number = call.out[0].as<Number>();
    Weight* weight = call.out[1].as<Weight>();
    parallel_for(labels.numel(), 16384, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const int64_t label = from[i];
            if (label == ignore_index) {
                number[i] = -1;
                weight[i] = 0;
                continue;
            }
            if (label < 0 || label >= classes) fail_label(labels, label, i, classes, ignore_index);
            number[i] = static_cast<Number>(label);
            weight[i] = class_weight ? class_weight[label] : Weight{1};
        }
    });
    double total = 0;
    for (int64_t i = 0, n = labels.numel(); i < n; ++i) total += static_cast<double>(weight[i]);
    *call.out[2].as<Weight>() = static_cast<Weight>(total);
}

// Attributes: classes, ignore_index, dtype of the numbers, dtype of the weights.
void kernel_check_labels(const KernelCall& call) {
    const bool wide = call.out[1].dtype == DType::kF64;
    if (call.out[0].dtype == DType::kI64)
        wide ? check_labels<int64_t, double>(call) : check_labels<int64_t, float>(call);
    else
        wide ? check_labels<double, double>(call) : check_labels<float, float>(call);
}

}  // namespace

void register_reduce_wrappers(KernelTable& table) {
    table.add("sum", kernel_reduce<ReduceKind::kSum>);
    table.add("sum_wide", kernel_reduce<ReduceKind::kSum>);
    table.add("prod", kernel_reduce<ReduceKind::kProd>);
    table.add("max", kernel_reduce<ReduceKind::kMax>);
    table.add("min", kernel_reduce<ReduceKind::kMin>);
    table.add("any", kernel_reduce<ReduceKind::kAny>);
    table.add("all", kernel_reduce<ReduceKind::kAll>);
    table.add("mean", kernel_reduce<ReduceKind::kMean>);
    table.add("var", kernel_reduce<ReduceKind::kVar>);
    table.add("argmax", kernel_arg<ReduceKind::kArgMax>);
    table.add("argmin", kernel_arg<ReduceKind::kArgMin>);
    table.add("var_mean", kernel_var_mean);
    table.add("check_labels", kernel_check_labels);
}

}  // namespace sn::cpu
