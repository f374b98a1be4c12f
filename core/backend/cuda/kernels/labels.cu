// Labels of a classification: checked, and as what a loss computes with. SN_N: numbers of classes
// in the result; SN_W: weights.
#include "device.cuh"
#include "reduce_args.h"

using namespace sn::cuda;

SN_KERNEL(check_labels, LabelArgs) {
    SN_N* number = static_cast<SN_N*>(args.number);
    SN_W* weight = static_cast<SN_W*>(args.weight);
    const SN_W* class_weight = static_cast<const SN_W*>(args.class_weight);
    for (int64_t i = grid_index(); i < args.count; i += grid_stride()) {
        const int64_t label = args.labels[i];
        const bool ignored = label == args.ignore_index;
        if (!ignored && (label < 0 || label >= args.classes)) {
            report(args.error, 1, i, label);
            continue;
        }
        number[i] = ignored ? SN_N(-1) : static_cast<SN_N>(label);
        weight[i] = ignored ? SN_W(0) : class_weight ? class_weight[label] : SN_W(1);
    }
}

// The sum of the weights, by one block: in order, since they are any numbers; ones are counted.
SN_KERNEL(sum_weights, LabelArgs) {
    SN_SHARED double memory[256];
    const SN_W* weight = static_cast<const SN_W*>(args.weight);
    const int t = threadIdx.x;
    double total = 0;
    if (!args.class_weight) {
        for (int64_t i = t; i < args.count; i += 256) total += static_cast<double>(weight[i]);
        memory[t] = total;
        __syncthreads();
        for (int half = 128; half > 0; half /= 2) {
            if (t < half) memory[t] += memory[t + half];
            __syncthreads();
        }
        total = memory[0];
    } else {
        for (int64_t first = 0; first < args.count; first += 256) {
            if (first + t < args.count) memory[t] = static_cast<double>(weight[first + t]);
            __syncthreads();
            if (t == 0)
                for (int i = 0; i < 256 && first + i < args.count; ++i) total += memory[i];
            __syncthreads();
        }
    }
    if (t == 0) *static_cast<SN_W*>(args.total) = static_cast<SN_W>(total);
}
