/* Prints what a model takes and gives: the C interface alone. */
#include <sennit/sennit.h>
#include <stdio.h>

static int show(const char* what, const sn_model* model, size_t count,
                sn_status (*ask)(const sn_model*, size_t, sn_value_info*)) {
    size_t i;
    int32_t d;
    for (i = 0; i < count; ++i) {
        sn_value_info info;
        info.struct_size = sizeof info;
        if (ask(model, i, &info) != SN_OK) return 1;
        printf("%s %s: %s[", what, info.name, sn_dtype_name(info.dtype));
        for (d = 0; d < info.rank; ++d) {
            if (info.shape[d] >= 0)
                printf("%s%lld", d ? ", " : "", (long long)info.shape[d]);
            else
                printf("%s%s", d ? ", " : "", info.dim_names[d]);
        }
        printf("]\n");
    }
    return 0;
}

int main(int argc, char** argv) {
    sn_model* model;
    int bad;
    if (argc != 2) {
        fprintf(stderr, "usage: inspect MODEL\n");
        return 2;
    }
    if (sn_model_load(argv[1], NULL, &model) != SN_OK) {
        fprintf(stderr, "%s\n", sn_last_error());
        return 1;
    }
    bad = show("input", model, sn_model_input_count(model), sn_model_input) ||
          show("output", model, sn_model_output_count(model), sn_model_output);
    sn_model_free(model);
    return bad;
}
