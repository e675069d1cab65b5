//! The driver, as much of it as the encoder needs: everything unsafe stands here.
//!
//! On cudarc's thin layer rather than its safe one: this encoder has one stream for each thread, allocates at load only, and
//! gives addresses within buffers to kernels; reference counts and events for each buffer would buy nothing.

#![allow(unsafe_code, reason = "the driver is C")]

use std::ffi::{CString, c_void};
use std::sync::Arc;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{
    CUcontext, CUctx_flags_enum, CUdevice, CUdevice_attribute, CUdeviceptr, CUfunction, CUfunction_attribute,
    CUgraph, CUgraphExec, CUgraphInstantiate_flags, CUmodule, CUresult, CUstream, CUstreamCaptureMode,
    cuDevicePrimaryCtxSetFlags_v2,
};

use crate::encoder::EncoderError;

/// Cores for each device from which on two threads of them may spin while they wait for it.
const CORES_OF_A_DEVICE: usize = 4;

/// A device as it is listed: nothing of it is taken.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    number: u32,
    device: CUdevice,
}

impl Card {
    /// The device with this number.
    ///
    /// # Errors
    /// The driver's.
    pub fn of(number: u32) -> Result<Self, EncoderError> {
        let ordinal = i32::try_from(number).unwrap_or(i32::MAX);
        match result::init().and_then(|()| result::device::get(ordinal)) {
            Ok(device) => Ok(Self { number, device }),
            Err(e) => Err(unavailable(number, e)),
        }
    }

    /// `cuda:0`.
    pub fn id(self) -> String {
        format!("cuda:{}", self.number)
    }

    /// What the maker calls it.
    pub fn name(self) -> String {
        result::device::get_name(self.device).unwrap_or_default()
    }

    /// Compute capability, for example (9, 0).
    ///
    /// # Errors
    /// The driver's.
    pub fn capability(self) -> Result<(i32, i32), EncoderError> {
        let major = self.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        Ok((major, self.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?))
    }

    /// Multiprocessors.
    ///
    /// # Errors
    /// The driver's.
    pub fn processors(self) -> Result<usize, EncoderError> {
        let count = self.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        Ok(usize::try_from(count).unwrap_or(1).max(1))
    }

    /// Who waits for the device spins, which answers soonest, unless cores are too few for that: then the thread sleeps.
    fn set_waiting(self) -> Result<(), EncoderError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let devices = count().map_or(1, |n| n as usize);
        if cores >= CORES_OF_A_DEVICE * devices {
            return Ok(());
        }
        // SAFETY: the device is there. Flags of a context that is in use already are changed for it too.
        let answer = unsafe {
            cuDevicePrimaryCtxSetFlags_v2(self.device, CUctx_flags_enum::CU_CTX_SCHED_BLOCKING_SYNC as u32)
        };
        answer.result().map_err(|e| unavailable(self.number, e))
    }

    fn attribute(self, attribute: CUdevice_attribute) -> Result<i32, EncoderError> {
        // SAFETY: the device is there.
        self.check("its attributes", unsafe { result::device::get_attribute(self.device, attribute) })
    }

    /// Whatever the driver refuses once the encoder runs means that the device cannot be relied on any more: after an
    /// error in a kernel every later call fails too.
    fn check<T>(self, what: &str, result: Result<T, DriverError>) -> Result<T, EncoderError> {
        result.map_err(|e| EncoderError::Device { device: self.id(), problem: describe(e, what) })
    }
}

/// A device with its primary context, current on every thread that calls [`Device::bind`].
#[derive(Debug)]
pub struct Device {
    card: Card,
    context: CUcontext,
}

// SAFETY: a context may be current on several threads, and the driver locks what it shares between them.
unsafe impl Send for Device {}
unsafe impl Sync for Device {}

/// How many devices there are.
///
/// # Errors
/// The driver's.
pub fn count() -> Result<u32, String> {
    let count = result::init().and_then(|()| result::device::get_count());
    count.map(|n| u32::try_from(n).unwrap_or_default()).map_err(|e| describe(e, "the driver does not start"))
}

/// The CUDA version that the driver speaks, for example 12.4.
pub fn version() -> Option<String> {
    let mut version = 0;
    // SAFETY: the driver writes one integer.
    let answer = unsafe { cudarc::driver::sys::cuDriverGetVersion(&raw mut version) };
    answer.result().ok().map(|()| format!("{}.{}", version / 1000, version % 1000 / 10))
}

fn unavailable(number: u32, error: DriverError) -> EncoderError {
    EncoderError::Unavailable(format!("cuda:{number}: {}", describe(error, "cannot be opened")))
}

fn describe(error: DriverError, what: &str) -> String {
    let name = error.error_name().ok().and_then(|name| name.to_str().ok()).unwrap_or("an unknown error");
    let text = error.error_string().ok().and_then(|text| text.to_str().ok()).unwrap_or_default();
    format!("{what}: {name} ({text})")
}

impl Device {
    /// Takes a device.
    ///
    /// # Errors
    /// The driver's.
    pub fn open(card: Card) -> Result<Arc<Self>, EncoderError> {
        card.set_waiting()?;
        // SAFETY: the device is there; the context is released when `Device` goes.
        let context =
            unsafe { result::primary_ctx::retain(card.device) }.map_err(|e| unavailable(card.number, e))?;
        let this = Arc::new(Self { card, context });
        this.bind()?;
        Ok(this)
    }

    /// `cuda:0`.
    pub fn id(&self) -> String {
        self.card.id()
    }

    /// Bytes that are free, and that there are.
    ///
    /// # Errors
    /// The driver's.
    pub fn memory(&self) -> Result<(usize, usize), EncoderError> {
        self.bind()?;
        self.check("its memory", result::mem_get_info())
    }

    /// Makes this device the calling thread's.
    ///
    /// # Errors
    /// The driver's.
    pub fn bind(&self) -> Result<(), EncoderError> {
        // SAFETY: the context is retained as long as `self` is there.
        self.check("its context", unsafe { result::ctx::set_current(self.context) })
    }

    /// Waits until everything that was copied has arrived: a copy from ordinary memory returns as soon as its source may be
    /// used again, and streams of our own do not wait for the default one.
    ///
    /// # Errors
    /// The driver's.
    pub fn settle(&self) -> Result<(), EncoderError> {
        self.bind()?;
        self.check("its copies", result::ctx::synchronize())
    }

    fn check<T>(&self, what: &str, result: Result<T, DriverError>) -> Result<T, EncoderError> {
        self.card.check(what, result)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: retained once, released once. Nothing can be done about a failure.
        let _ = unsafe { result::primary_ctx::release(self.card.device) };
    }
}

/// Device memory.
#[derive(Debug)]
pub struct Buffer {
    device: Arc<Device>,
    address: CUdeviceptr,
    bytes: usize,
}

impl Buffer {
    /// Takes so many bytes; what is in them is not said.
    ///
    /// # Errors
    /// `Unavailable` if there are not so many.
    pub fn new(device: &Arc<Device>, bytes: usize) -> Result<Self, EncoderError> {
        device.bind()?;
        // SAFETY: freed once, when `Buffer` goes.
        let address = unsafe { result::malloc_sync(bytes.max(1)) };
        let address = address.map_err(|e| {
            let what = format!("{} MiB of memory", bytes.div_ceil(1 << 20));
            EncoderError::Unavailable(format!("{}: {}", device.id(), describe(e, &what)))
        })?;
        Ok(Self { device: Arc::clone(device), address, bytes })
    }

    /// Takes memory and fills it; what is in it is there after [`Device::settle`].
    ///
    /// # Errors
    /// As [`Buffer::new`], and the driver's.
    pub fn of<T: Copy>(device: &Arc<Device>, values: &[T]) -> Result<Self, EncoderError> {
        let buffer = Self::new(device, size_of_val(values))?;
        // SAFETY: as many bytes as there are; the call returns when the source may be used again.
        device.check("a copy to it", unsafe { result::memcpy_htod_sync(buffer.address, values) })?;
        Ok(buffer)
    }

    /// The address `offset` bytes into it.
    pub fn at(&self, offset: usize) -> Arg {
        debug_assert!(offset < self.bytes.max(1), "{offset} of {}", self.bytes);
        Arg::Pointer(self.address + offset as CUdeviceptr)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated once, freed once, and streams are drained before buffers go.
        let _ = self.device.bind().map(|()| unsafe { result::free_sync(self.address) });
    }
}

/// Host memory that the device reads and writes itself.
#[derive(Debug)]
pub struct Pinned {
    device: Arc<Device>,
    start: *mut u8,
    bytes: usize,
}

// SAFETY: memory that `Pinned` alone owns.
unsafe impl Send for Pinned {}

impl Pinned {
    /// Takes so many bytes, all zero.
    ///
    /// # Errors
    /// `Unavailable` if there are not so many.
    pub fn new(device: &Arc<Device>, bytes: usize) -> Result<Self, EncoderError> {
        device.bind()?;
        // SAFETY: freed once, when `Pinned` goes.
        let start = unsafe { result::malloc_host(bytes.max(1), 0) }.map_err(|e| {
            let what = format!("{} MiB of pinned host memory", bytes.div_ceil(1 << 20));
            EncoderError::Unavailable(format!("{}: {}", device.id(), describe(e, &what)))
        })?;
        // SAFETY: just allocated, so many bytes.
        unsafe { start.cast::<u8>().write_bytes(0, bytes) };
        Ok(Self { device: Arc::clone(device), start: start.cast(), bytes })
    }

    /// What is in it. The stream must be idle.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: initialised at allocation.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    /// As [`Pinned::bytes`].
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed once.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated once, freed once.
        let _ = self.device.bind().map(|()| unsafe { result::free_host(self.start.cast()) });
    }
}

/// Loaded machine code.
#[derive(Debug)]
pub struct Module {
    device: Arc<Device>,
    module: CUmodule,
}

// SAFETY: modules and functions are handles of the context.
unsafe impl Send for Module {}
unsafe impl Sync for Module {}

/// A kernel of a [`Module`], which must outlive it.
#[derive(Debug, Clone, Copy)]
pub struct Function(CUfunction);

// SAFETY: as `Module`.
unsafe impl Send for Function {}
unsafe impl Sync for Function {}

impl Module {
    /// Loads an image. PTX must end in a zero.
    ///
    /// # Errors
    /// `Unavailable` if the driver does not take it.
    pub fn load(device: &Arc<Device>, image: &[u8]) -> Result<Self, EncoderError> {
        device.bind()?;
        // SAFETY: the image is ours, and whole.
        let module = unsafe { result::module::load_data(image.as_ptr().cast()) }.map_err(|e| {
            EncoderError::Unavailable(format!(
                "{}: {}",
                device.id(),
                describe(e, "the kernels are not taken")
            ))
        })?;
        Ok(Self { device: Arc::clone(device), module })
    }

    /// The kernel of this name, allowed to use so much shared memory.
    ///
    /// # Errors
    /// `Unavailable` if there is none, or not so much.
    pub fn function(&self, name: &str, shared_bytes: usize) -> Result<Function, EncoderError> {
        let fail = |e| {
            let what = format!("kernel {name} with {shared_bytes} bytes of shared memory");
            EncoderError::Unavailable(format!("{}: {}", self.device.id(), describe(e, &what)))
        };
        let c_name = CString::new(name).unwrap_or_default();
        // SAFETY: the module is loaded.
        let function = unsafe { result::module::get_function(self.module, c_name) }.map_err(fail)?;
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = i32::try_from(shared_bytes).unwrap_or(i32::MAX);
        // SAFETY: the function was just found.
        unsafe { result::function::set_function_attribute(function, attribute, bytes) }.map_err(fail)?;
        Ok(Function(function))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: loaded once, unloaded once.
        let _ = self.device.bind().map(|()| unsafe { result::module::unload(self.module) });
    }
}

/// What a kernel is given.
#[derive(Debug, Clone, Copy)]
pub enum Arg {
    /// Device memory.
    Pointer(CUdeviceptr),
    /// A number.
    Int(i32),
    /// A number.
    Float(f32),
}

impl Arg {
    fn address(&mut self) -> *mut c_void {
        match self {
            Self::Pointer(p) => (&raw mut *p).cast(),
            Self::Int(n) => (&raw mut *n).cast(),
            Self::Float(x) => (&raw mut *x).cast(),
        }
    }
}

/// Blocks, threads of each, and its shared memory.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Blocks along x and y.
    pub blocks: (usize, usize),
    /// Threads.
    pub threads: usize,
    /// Bytes.
    pub shared: usize,
}

/// A stream of this thread's own: the default stream would wait for other threads' work.
#[derive(Debug)]
pub struct Stream {
    device: Arc<Device>,
    stream: CUstream,
}

// SAFETY: a handle; one thread at a time uses it.
unsafe impl Send for Stream {}

impl Stream {
    /// A new stream.
    ///
    /// # Errors
    /// The driver's.
    pub fn new(device: &Arc<Device>) -> Result<Self, EncoderError> {
        device.bind()?;
        let stream =
            device.check("a stream", result::stream::create(result::stream::StreamKind::NonBlocking))?;
        Ok(Self { device: Arc::clone(device), stream })
    }

    /// Its device.
    pub fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// Copies the first `bytes` to the device, some time later.
    ///
    /// # Errors
    /// The driver's.
    pub fn upload(&self, from: &Pinned, to: &Buffer, bytes: usize) -> Result<(), EncoderError> {
        let from = from.bytes().get(..bytes.min(to.bytes)).unwrap_or_default();
        // SAFETY: both are long enough, and outlive the stream's work.
        let copied = unsafe { result::memcpy_htod_async(to.address, from, self.stream) };
        self.device.check("a copy to it", copied)
    }

    /// Copies the first `bytes` from the device, some time later.
    ///
    /// # Errors
    /// The driver's.
    pub fn download(&self, from: &Buffer, to: &mut Pinned, bytes: usize) -> Result<(), EncoderError> {
        let to = to.bytes_mut().get_mut(..bytes.min(from.bytes)).unwrap_or_default();
        // SAFETY: as above.
        let copied = unsafe { result::memcpy_dtoh_async(to, from.address, self.stream) };
        self.device.check("a copy from it", copied)
    }

    /// Runs a kernel, some time later. The arguments must be those that it is declared with.
    ///
    /// # Errors
    /// The driver's.
    pub fn launch<const N: usize>(
        &self,
        function: Function,
        shape: Shape,
        mut args: [Arg; N],
    ) -> Result<(), EncoderError> {
        let mut addresses = args.each_mut().map(Arg::address);
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let blocks = (number(shape.blocks.0), number(shape.blocks.1), 1);
        // SAFETY: the kernels are our own; `forward.rs` gives each what it is declared with, and the tests run every
        // kernel with these very calls on memory that is watched.
        let launched = unsafe {
            result::launch_kernel(
                function.0,
                blocks,
                (number(shape.threads), 1, 1),
                number(shape.shared),
                self.stream,
                &mut addresses,
            )
        };
        self.device.check("a kernel", launched)
    }

    /// Waits until everything is done.
    ///
    /// # Errors
    /// The driver's, also of what went wrong in between.
    pub fn wait(&self) -> Result<(), EncoderError> {
        // SAFETY: the stream is there.
        self.device.check("its work", unsafe { result::stream::synchronize(self.stream) })
    }

    /// Records what `work` asks of the stream instead of doing it. `None` if the driver has no memory for a graph.
    ///
    /// # Errors
    /// The driver's.
    pub fn capture(
        &self,
        work: impl FnOnce() -> Result<(), EncoderError>,
    ) -> Result<Option<Graph>, EncoderError> {
        // What other threads do with the driver meanwhile is no business of this graph.
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is there; the capture is ended below, whatever the work does.
        self.device.check("a capture", unsafe { result::stream::begin_capture(self.stream, mode) })?;
        let worked = work();
        // SAFETY: begun above.
        let ended = unsafe { result::stream::end_capture(self.stream) };
        worked?;
        let graph = Recorded(self.device.check("the end of a capture", ended)?);
        // SAFETY: the graph was just made; `Recorded` destroys it, which the executable one survives.
        match unsafe { result::graph::instantiate(graph.0, CUgraphInstantiate_flags(0)) } {
            Ok(graph) => Ok(Some(Graph { device: Arc::clone(&self.device), graph })),
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Ok(None),
            Err(e) => self.device.check("a graph", Err(e)),
        }
    }

    /// Does what was recorded, some time later; false if the driver has no memory for it, and then nothing is done: a graph
    /// is uploaded when it is launched first.
    ///
    /// # Errors
    /// The driver's.
    pub fn replay(&self, graph: &Graph) -> Result<bool, EncoderError> {
        // SAFETY: both are there, and on one device.
        match unsafe { result::graph::launch(graph.graph, self.stream) } {
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Ok(false),
            launched => self.device.check("a graph's launch", launched).map(|()| true),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Buffers go after the stream, so nothing may be under way any more.
        let _ = self.device.bind().and_then(|()| self.wait());
        // SAFETY: created once, destroyed once.
        let _ = unsafe { result::stream::destroy(self.stream) };
    }
}

struct Recorded(CUgraph);

impl Drop for Recorded {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: made once, destroyed once.
            let _ = unsafe { result::graph::destroy(self.0) };
        }
    }
}

/// Recorded work, ready to run.
#[derive(Debug)]
pub struct Graph {
    device: Arc<Device>,
    graph: CUgraphExec,
}

// SAFETY: a handle; one thread at a time uses it.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made once, destroyed once.
        let _ = self.device.bind().map(|()| unsafe { result::graph::exec_destroy(self.graph) });
    }
}
