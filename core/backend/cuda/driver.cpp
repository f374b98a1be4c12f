#include "backend/cuda/driver.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>

#include "base/error.h"
#include "base/system.h"

namespace sn::cuda {

namespace {

#if defined(_WIN32)
constexpr char kListSeparator = ';';
constexpr const char* kDriverName = "nvcuda.dll";
std::string compiler_name(int major) { return "nvrtc64_" + std::to_string(major) + "0_0.dll"; }
std::string blas_name(int major) { return "cublasLt64_" + std::to_string(major) + ".dll"; }
constexpr const char* kSystemFolders[] = {""};
constexpr const char* kPackageParts[] = {"nvidia/cu13/bin/x86_64", "nvidia/cuda_nvrtc/bin",
                                         "nvidia/cublas/bin"};
#else
constexpr char kListSeparator = ':';
constexpr const char* kDriverName = "libcuda.so.1";
std::string compiler_name(int major) { return "libnvrtc.so." + std::to_string(major); }
std::string blas_name(int major) { return "libcublasLt.so." + std::to_string(major); }
// "": as the system looks for libraries.
constexpr const char* kSystemFolders[] = {"", "/usr/local/cuda/lib64", "/usr/lib/wsl/lib"};
constexpr const char* kPackageParts[] = {"nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib",
                                         "nvidia/cublas/lib"};
#endif

constexpr int kNewestMajor = 13, kOldestMajor = 12;
constexpr int kOldestDriver = 12000;

std::atomic<PackageFolders> package_folders{nullptr};

// Where libraries are looked for, in order.
struct Places {
    std::vector<std::string> named;     // SENNIT_CUDA_PATH
    std::vector<std::string> packages;  // NVIDIA's wheels
    bool system = true;                 // false: SENNIT_CUDA_PATH ends with "none"
};

Places find_places(const std::vector<std::string>& folders) {
    Places places;
    const char* text = std::getenv("SENNIT_CUDA_PATH");
    const std::string list = text ? text : "";
    for (size_t begin = 0; begin < list.size();) {
        const size_t end = std::min(list.find(kListSeparator, begin), list.size());
        const std::string folder = list.substr(begin, end - begin);
        if (folder == "none")
            places.system = false;
        else if (!folder.empty())
            places.named.push_back(folder);
        begin = end + 1;
    }
    if (!places.system) return places;
    for (const std::string& folder : folders)
        for (const char* part : kPackageParts) places.packages.push_back(folder + "/" + part);
    return places;
}

// Opens the first of the names that some place has.
void* open(Library& library, const Places& places, const std::vector<std::string>& names) {
    const auto attempt = [&](const std::string& path) -> void* {
        std::string why;
        void* handle = system::open_library(path, &why);
        if (handle) {
            library.found = path;
        } else {
            // A loader puts the path in front; once is enough.
            if (why.rfind(path + ": ", 0) == 0) why.erase(0, path.size() + 2);
            library.looked.push_back(path + ": " + why);
        }
        return handle;
    };
    const auto in_folder = [&](const std::string& folder, const std::string& name) -> void* {
        uint64_t size;
        std::string why;
        const std::string path = folder + "/" + name;
        if (system::regular_file_size(path, &size, &why)) return attempt(path);
        library.looked.push_back(path + ": " + why);
        return nullptr;
    };
    for (const std::string& folder : places.named)
        for (const std::string& name : names)
            if (void* handle = in_folder(folder, name)) return handle;
    for (const std::string& folder : places.packages)
        for (const std::string& name : names)
            if (void* handle = in_folder(folder, name)) return handle;
    if (!places.system) return nullptr;
    for (const char* folder : kSystemFolders)
        for (const std::string& name : names)
            if (void* handle = *folder ? in_folder(folder, name) : attempt(name)) return handle;
    return nullptr;
}

// Looks a function up; what is missing makes the library unusable.
template <class Function>
void bind(Library& library, void* handle, const char* name, Function& function) {
    function = reinterpret_cast<Function>(system::library_symbol(handle, name));
    if (function || !library.problem.empty()) return;
    library.problem = library.found + " has no function " + name +
                      ": it is too old, or no library of NVIDIA's; update it";
}

std::string version_text(int version) {
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string wheels_for(int driver_version) {
    return driver_version == 0 || driver_version / 1000 >= 13 ? "pip install 'sennit[cuda]'"
                                                              : "pip install 'sennit[cuda12]'";
}

const char* name_of(const Driver& driver, Result result) {
    const char* text = nullptr;
    if (driver.error_name && driver.error_name(result, &text) == 0 && text) return text;
    return "an error that the driver does not know";
}

void open_driver(Driver& driver, const Places& places) {
    void* handle = open(driver, places, {kDriverName});
    if (!handle) {
        driver.problem = std::string("the NVIDIA driver was not found (") + kDriverName +
                         "); install the driver for your GPU from nvidia.com/drivers or by your "
                         "system's packages; in a container, start it with --gpus all";
        return;
    }
#define SN_BIND(member, name, parameters) bind(driver, handle, name, driver.member);
    SN_DRIVER_FUNCTIONS(SN_BIND)
#undef SN_BIND
    if (!driver.problem.empty()) return;
    if (const Result result = driver.driver_version(&driver.version_found); result != 0) {
        driver.problem = "the NVIDIA driver " + driver.found + " does not tell its version (" +
                         name_of(driver, result) + "); install it anew";
        return;
    }
    if (driver.version_found < kOldestDriver) {
        driver.problem = "the NVIDIA driver is for CUDA " + version_text(driver.version_found) +
                         "; Sennit needs one for CUDA " + version_text(kOldestDriver) +
                         " or later: update the driver";
        return;
    }
    Result result = driver.init(0);
    if (result == 0) result = driver.device_count(&driver.devices);
    if (result == 100 || (result == 0 && driver.devices == 0)) {
        driver.devices = 0;
        driver.problem =
            "the NVIDIA driver is there, but it sees no GPU; is one built in, and does "
            "CUDA_VISIBLE_DEVICES leave one visible?";
    } else if (result == 803 || result == 804) {
        driver.problem =
            "the NVIDIA driver's library and its kernel module do not fit each other (" +
            std::string(name_of(driver, result)) + "); reboot after an update of the driver";
    } else if (result != 0) {
        driver.problem =
            "the NVIDIA driver cannot be started: " + std::string(name_of(driver, result)) +
            "; does nvidia-smi work? look at its message";
    }
}

void open_compiler(Compiler& compiler, const Places& places, int driver_version) {
    // Code of a newer major version than the driver's does not load.
    const int newest = driver_version
                           ? std::clamp(driver_version / 1000, kOldestMajor, kNewestMajor)
                           : kNewestMajor;
    std::vector<std::string> names;
    for (int major = newest; major >= kOldestMajor; --major) names.push_back(compiler_name(major));
    void* handle = open(compiler, places, names);
    if (!handle) {
        std::string list = names[0];
        for (size_t i = 1; i < names.size(); ++i) list += " or " + names[i];
        compiler.problem = "NVRTC, NVIDIA's run-time compiler, was not found (" + list + "); " +
                           wheels_for(driver_version) + ", or name its folder in SENNIT_CUDA_PATH";
        return;
    }
#define SN_BIND(member, name, parameters) bind(compiler, handle, name, compiler.member);
    SN_COMPILER_FUNCTIONS(SN_BIND)
#undef SN_BIND
    if (!compiler.problem.empty()) return;
    int count = 0;
    CompilerResult result = compiler.version(&compiler.major, &compiler.minor);
    if (result == 0) result = compiler.arch_count(&count);
    compiler.known.resize(static_cast<size_t>(std::max(count, 0)));
    if (result == 0 && count > 0) result = compiler.archs(compiler.known.data());
    if (result != 0 || count <= 0) {
        compiler.problem = "NVRTC at " + compiler.found +
                           " does not work (it does not tell its "
                           "version and architectures: error " +
                           std::to_string(result) + "); " + wheels_for(driver_version) +
                           " installs one that does";
        return;
    }
    std::sort(compiler.known.begin(), compiler.known.end());
    const std::string version =
        std::to_string(compiler.major) + "." + std::to_string(compiler.minor);
    if (compiler.major < kOldestMajor) {
        compiler.problem = "NVRTC at " + compiler.found + " is version " + version +
                           "; Sennit needs 12.0 or later: " + wheels_for(driver_version);
    } else if (driver_version && compiler.major > driver_version / 1000) {
        compiler.problem = "NVRTC at " + compiler.found + " is version " + version +
                           ", but the driver is for CUDA " + version_text(driver_version) +
                           " and cannot load what it compiles: " + wheels_for(driver_version) +
                           ", or update the driver";
    }
}

void open_blas(Blas& blas, const Places& places, int major) {
    std::vector<std::string> names{blas_name(major ? major : kNewestMajor)};
    const std::string wheels =
        major && major < 13 ? "pip install nvidia-cublas-cu12" : "pip install nvidia-cublas";
    void* handle = open(blas, places, names);
    if (!handle) {
        blas.problem = "cuBLASLt was not found (" + names[0] +
                       "); matrix products use Sennit's own kernels without it: " + wheels;
        return;
    }
#define SN_BIND(member, name, parameters) bind(blas, handle, name, blas.member);
    SN_BLAS_FUNCTIONS(SN_BIND)
#undef SN_BIND
    size_t (*version)() = nullptr;
    bind(blas, handle, "cublasLtGetVersion", version);
    if (!blas.problem.empty()) return;
    blas.version_found = version();
    const size_t found = blas.version_found / 10000;
    if (found < static_cast<size_t>(kOldestMajor))
        blas.problem = "cuBLASLt at " + blas.found + " is version " + std::to_string(found) + "." +
                       std::to_string(blas.version_found / 100 % 100) +
                       "; Sennit uses 12.0 or later, and its own kernels for matrix products "
                       "without it: " +
                       wheels;
}

const Places* found_places = nullptr;  // once libraries() has returned

Libraries* open_all(const std::vector<std::string>& folders) {
    auto* all = new Libraries;
    found_places = new Places(find_places(folders));
    const Places& places = *found_places;
    open_driver(all->driver, places);
    const int version = all->driver.version_found;
    open_compiler(all->compiler, places, version);
    return all;
}

}  // namespace

void set_package_folders(PackageFolders folders) { package_folders = folders; }

const Libraries& libraries() {
    static std::atomic<const Libraries*> known{nullptr};
    static std::mutex lock;
    if (const Libraries* found = known.load(std::memory_order_acquire)) return *found;
    // Outside of the lock: it may run Python, which may switch to a thread that comes here.
    const PackageFolders ask = package_folders.load();
    const std::vector<std::string> folders = ask ? ask() : std::vector<std::string>();
    const std::lock_guard guard(lock);
    if (!known.load(std::memory_order_relaxed))
        known.store(open_all(folders), std::memory_order_release);
    return *known.load(std::memory_order_relaxed);
}

const Blas& blas() {
    static const Blas* opened = [] {
        const Libraries& all = libraries();
        auto* made = new Blas;
        open_blas(*made, *found_places,
                  all.compiler ? all.compiler.major : all.driver.version_found / 1000);
        return made;
    }();
    return *opened;
}

std::string error_text(Result result) {
    const Driver& driver = libraries().driver;
    std::string text = name_of(driver, result);
    const char* more = nullptr;
    if (driver.error_string && driver.error_string(result, &more) == 0 && more)
        text += std::string(": ") + more;
    return text;
}

void check(Result result, const char* doing) {
    if (result == 0) [[likely]]
        return;
    const std::string text = error_text(result);
    switch (result) {
        case kOutOfMemory:
            fail(ErrorKind::kMemory, "cuda",
                 "the GPU has no memory left for %s (%s); use smaller batches, or free what other "
                 "processes hold (nvidia-smi lists them)",
                 doing, text.c_str());
        case 209:  // CUDA_ERROR_NO_BINARY_FOR_GPU
        case 218:  // CUDA_ERROR_INVALID_PTX
        case 222:  // CUDA_ERROR_UNSUPPORTED_PTX_VERSION
            fail(
                ErrorKind::kDevice, "cuda",
                "the driver does not take the code that NVRTC made, in %s (%s); update the driver, "
                "or use an older NVRTC (nvidia-cuda-nvrtc)",
                doing, text.c_str());
        case 4:    // CUDA_ERROR_DEINITIALIZED
        case 46:   // CUDA_ERROR_DEVICE_UNAVAILABLE
        case 214:  // CUDA_ERROR_ECC_UNCORRECTABLE
        case 220:  // CUDA_ERROR_NVLINK_UNCORRECTABLE
        case 700:  // CUDA_ERROR_ILLEGAL_ADDRESS
        case 702:  // CUDA_ERROR_LAUNCH_TIMEOUT
        case 709:  // CUDA_ERROR_CONTEXT_IS_DESTROYED
        case 710:  // CUDA_ERROR_ASSERT
        case 714:  // CUDA_ERROR_HARDWARE_STACK_ERROR
        case 715:  // CUDA_ERROR_ILLEGAL_INSTRUCTION
        case 716:  // CUDA_ERROR_MISALIGNED_ADDRESS
        case 717:  // CUDA_ERROR_INVALID_ADDRESS_SPACE
        case 718:  // CUDA_ERROR_INVALID_PC
        case 719:  // CUDA_ERROR_LAUNCH_FAILED
            fail(ErrorKind::kDevice, "cuda",
                 "the device is lost: %s (found in %s; an earlier kernel is the cause); nothing on "
                 "it can be used any more: start the process again from its last checkpoint, and "
                 "report a kernel of Sennit that does this",
                 text.c_str(), doing);
        default: fail(ErrorKind::kDevice, "cuda", "%s failed: %s", doing, text.c_str());
    }
}

}  // namespace sn::cuda
