// NVRTC without CUDA, for tests: the functions that Sennit uses, as NVIDIA documents them. It
// compiles with the C++ compiler, through the thread-block shim, to a library that the fake driver
// (libcuda.cpp) loads.
//
// Set by the environment:
//   SENNIT_FAKE_SHIM             folder of cuda_shim.h
//   SENNIT_FAKE_CXX=g++          the compiler
//   SENNIT_FAKE_NVRTC=13.0       its version
//   SENNIT_FAKE_ARCHS=75,80,90   the architectures that it knows
//   SENNIT_FAKE_BROKEN=0         1: every compilation fails
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

namespace {

enum Result {
    kSuccess = 0,
    kInvalidInput = 3,
    kInvalidProgram = 4,
    kInvalidOption = 5,
    kFailed = 6
};

std::string setting(const char* name, const char* otherwise) {
    const char* text = std::getenv(name);
    return text ? text : otherwise;
}

std::vector<int> numbers(const std::string& list) {
    std::vector<int> all;
    std::stringstream stream(list);
    for (std::string part; std::getline(stream, part, ',');) all.push_back(std::atoi(part.c_str()));
    return all;
}

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void make_folders(const std::string& path) {
    for (size_t at = path.find('/', 1); at != path.npos; at = path.find('/', at + 1))
        mkdir(path.substr(0, at).c_str(), 0777);
}

// A source in plain CUDA C++, as users write it, for the shim: each kernel gets an entry that takes
// its parameters from one buffer.
bool is_plain(const std::string& source) {
    return source.find("__global__") != source.npos && source.find("SN_KERNEL") == source.npos;
}
std::string adapted(const std::string& source) {
    static const std::regex dynamic(R"(extern\s+__shared__\s+([\w\s]+?)\s+(\w+)\s*\[\s*\])");
    static const std::regex kernel(
        R"((?:extern\s+"C"\s+)?__global__\s+void\s+(\w+)\s*\(([^)]*)\))");
    static const std::regex last_word(R"((\w+)\s*$)");
    const std::string text =
        std::regex_replace(source, dynamic, "$1* $2 = reinterpret_cast<$1*>(shim::state.dynamic)");
    std::string made =
        "#define __device__\n#define __forceinline__ inline\n#define __shared__ static "
        "__attribute__((section(\"sn_shared\")))\n#define SN_DEVICE\n#include "
        "\"cuda_shim.h\"\n#include <cmath>\n";
    std::string entries;
    for (std::sregex_iterator it(text.begin(), text.end(), kernel), end; it != end; ++it) {
        const std::string name = (*it)[1], parameters = (*it)[2];
        std::string fields, values;
        std::stringstream list(parameters);
        for (std::string part; std::getline(list, part, ',');) {
            std::smatch word;
            if (!std::regex_search(part, word, last_word)) continue;
            fields += part + ";\n";
            values += (values.empty() ? "a." : ", a.") + word[1].str();
        }
        made += "static void " + name + "_body(" + parameters + ");\n";
        entries += "struct " + name + "_args {\n" + fields +
                   "};\nextern \"C\" "
                   "__attribute__((visibility(\"default\"))) void " +
                   name +
                   "(const ShimLaunch* launch, const void* args) {\n shim::run(*launch, [](const "
                   "void* p) { [[maybe_unused]] auto& a = *static_cast<const " +
                   name + "_args*>(p); " + name + "_body(" + values + "); }, args);\n}\n";
    }
    const std::string body = std::regex_replace(text, kernel, "static void $1_body($2)");
    return made + "#line 1 \"kernel.cu\"\n" + body + "\n" + entries;
}

}  // namespace

struct _nvrtcProgram {
    std::string source;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string log, image;
    bool binary = false;
};
using Program = _nvrtcProgram*;

API int nvrtcVersion(int* major, int* minor) {
    return std::sscanf(setting("SENNIT_FAKE_NVRTC", "13.0").c_str(), "%d.%d", major, minor) == 2
               ? kSuccess
               : kInvalidInput;
}

API int nvrtcGetNumSupportedArchs(int* count) {
    *count = static_cast<int>(numbers(setting("SENNIT_FAKE_ARCHS", "75,80,90")).size());
    return kSuccess;
}

API int nvrtcGetSupportedArchs(int* all) {
    for (int arch : numbers(setting("SENNIT_FAKE_ARCHS", "75,80,90"))) *all++ = arch;
    return kSuccess;
}

API int nvrtcCreateProgram(Program* program, const char* source, const char*, int count,
                           const char* const* texts, const char* const* names) {
    if (!program || !source || (count > 0 && (!texts || !names))) return kInvalidInput;
    auto* made = new _nvrtcProgram{source, {}, {}, {}};
    for (int i = 0; i < count; ++i) made->headers.emplace_back(names[i], texts[i]);
    *program = made;
    return kSuccess;
}

API int nvrtcDestroyProgram(Program* program) {
    delete *program;
    *program = nullptr;
    return kSuccess;
}

API int nvrtcCompileProgram(Program program, int count, const char* const* options) {
    std::string definitions;
    uint32_t arch = 0;
    bool plain = false;  // no contraction
    for (int i = 0; i < count; ++i) {
        const std::string option = options[i];
        const auto value = [&](const char* prefix, std::string* rest) {
            if (option.rfind(prefix, 0) != 0) return false;
            *rest = option.substr(std::strlen(prefix));
            return true;
        };
        std::string rest;
        if (value("--gpu-architecture=sm_", &rest)) {
            arch = static_cast<uint32_t>(std::atoi(rest.c_str()));
            bool known = false;
            for (int a : numbers(setting("SENNIT_FAKE_ARCHS", "75,80,90")))
                known |= static_cast<uint32_t>(a) == arch;
            if (!known) {
                program->log = "unknown architecture " + rest;
                return kInvalidOption;
            }
            program->binary = true;
        } else if (value("--gpu-architecture=compute_", &rest)) {
            arch = static_cast<uint32_t>(std::atoi(rest.c_str()));
        } else if (value("--define-macro=", &rest) || value("-D", &rest)) {
            definitions += " '-D" + rest + "'";
        } else if (option == "--fmad=false") {
            plain = true;
        } else if (option != "--std=c++20" && option != "--std=c++17" &&
                   option != "--prec-div=true" && option != "--prec-sqrt=true" &&
                   option != "--ftz=false" && option != "--device-int128" &&
                   option != "--device-as-default-execution-space") {
            program->log = "unknown option " + option;
            return kInvalidOption;
        }
    }
    const bool users = is_plain(program->source);
    if ((!plain && !users) || arch == 0) {
        program->log = "Sennit's kernels are compiled without contraction, for an architecture";
        return kInvalidOption;
    }
    if (setting("SENNIT_FAKE_BROKEN", "0") == "1") {
        program->log = "kernel.cu(1): error: this compiler is broken";
        return kFailed;
    }
    std::string folder = setting("TMPDIR", "/tmp") + "/sennit-fake-XXXXXX";
    if (!mkdtemp(folder.data())) return kFailed;
    std::ofstream(folder + "/kernel.cpp") << (users ? adapted(program->source) : program->source);
    for (const auto& [name, text] : program->headers) {
        const std::string path = folder + "/" + name;
        make_folders(path);
        std::ofstream(path) << text;
    }
#if defined(__x86_64__)
    const std::string machine = " -mfma";
#else
    const std::string machine;
#endif
    const std::string command =
        setting("SENNIT_FAKE_CXX", "g++") +
        " -O1 -std=c++20 -shared -fPIC -fvisibility=hidden -ffp-contract=off -fno-trapping-math -w"
        " -DSN_SHIM" +
        machine + definitions + " -I '" + folder + "' -I '" + setting("SENNIT_FAKE_SHIM", ".") +
        "' -o '" + folder + "/kernel.so' '" + folder + "/kernel.cpp' 2> '" + folder + "/log'";
    const int status = std::system(command.c_str());
    program->log = read(folder + "/log");
    if (status == 0) {
        const std::string library = read(folder + "/kernel.so");
        const uint64_t bytes = library.size();
        program->image = program->binary ? "FAKE" : "FPTX";
        program->image.append(reinterpret_cast<const char*>(&arch), sizeof arch);
        program->image.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
        program->image += library;
    }
    const std::string clean = "rm -rf '" + folder + "'";
    if (std::system(clean.c_str()) != 0) return kFailed;
    return status == 0 ? kSuccess : kFailed;
}

API int nvrtcGetProgramLogSize(Program program, size_t* bytes) {
    *bytes = program->log.size() + 1;
    return kSuccess;
}

API int nvrtcGetProgramLog(Program program, char* text) {
    std::memcpy(text, program->log.c_str(), program->log.size() + 1);
    return kSuccess;
}

// As the real ones: no code of the device without a real architecture.
API int nvrtcGetCUBINSize(Program program, size_t* bytes) {
    *bytes = program->binary ? program->image.size() : 0;
    return kSuccess;
}

API int nvrtcGetCUBIN(Program program, char* data) {
    if (!program->binary) return kInvalidProgram;
    std::memcpy(data, program->image.data(), program->image.size());
    return kSuccess;
}

API int nvrtcGetPTXSize(Program program, size_t* bytes) {
    *bytes = program->image.size();
    return kSuccess;
}

API int nvrtcGetPTX(Program program, char* data) {
    std::memcpy(data, program->image.data(), program->image.size());
    return kSuccess;
}
