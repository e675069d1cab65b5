//! Single kernels on the emulated driver, in this process.
#![allow(unsafe_code, reason = "the driver is C")]

use std::ffi::{CString, c_void};
use std::sync::OnceLock;

use cudarc::driver::{result, sys};
use half::f16;
use libloading::Library;

use crate::drivers::emulated;

/// A loaded image on the emulated device.
pub struct Gpu {
    module: sys::CUmodule,
    stream: sys::CUstream,
}

/// Device memory, freed with the process: the emulation watches its edges all the while.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    address: sys::CUdeviceptr,
    bytes: usize,
}

/// What a kernel is given.
#[derive(Debug, Clone, Copy)]
pub enum Arg {
    /// Device memory.
    Pointer(u64),
    /// A number.
    Int(i32),
    /// A number.
    Float(f32),
}

impl From<Memory> for Arg {
    fn from(memory: Memory) -> Self {
        Self::Pointer(memory.address)
    }
}

impl From<usize> for Arg {
    fn from(n: usize) -> Self {
        Self::Int(i32::try_from(n).unwrap())
    }
}

impl From<f32> for Arg {
    fn from(x: f32) -> Self {
        Self::Float(x)
    }
}

impl Gpu {
    /// Opens the emulated device. A library that is loaded already is found again by its name, so cudarc takes this one.
    pub fn open() -> Self {
        static DRIVER: OnceLock<Library> = OnceLock::new();
        // SAFETY: our own library.
        DRIVER.get_or_init(|| unsafe { Library::new(emulated().join("libcuda.so")).unwrap() });
        result::init().unwrap();
        let device = result::device::get(0).unwrap();
        assert_eq!(result::device::get_name(device).unwrap(), "Emulated GPU");
        // SAFETY: handles go with the process.
        unsafe {
            result::ctx::set_current(result::primary_ctx::retain(device).unwrap()).unwrap();
            let module = result::module::load_data(c"image".as_ptr().cast()).unwrap();
            let stream = result::stream::create(result::stream::StreamKind::NonBlocking).unwrap();
            Self { module, stream }
        }
    }

    /// Memory with these values in it.
    pub fn upload<T: Copy>(&self, values: &[T]) -> Memory {
        let memory = self.room(size_of_val(values));
        // SAFETY: as many bytes as there are.
        unsafe { result::memcpy_htod_sync(memory.address, values).unwrap() };
        memory
    }

    /// Memory that holds what is no number.
    pub fn room(&self, bytes: usize) -> Memory {
        // SAFETY: freed with the process.
        Memory { address: unsafe { result::malloc_sync(bytes.max(1)).unwrap() }, bytes }
    }

    /// What is in it.
    pub fn download<T: Copy + Default>(&self, memory: Memory) -> Vec<T> {
        let mut values = vec![T::default(); memory.bytes / size_of::<T>()];
        // SAFETY: as many bytes as there are.
        unsafe { result::memcpy_dtoh_sync(&mut values, memory.address).unwrap() };
        values
    }

    /// Runs a kernel to its end.
    pub fn run(&self, name: &str, blocks: (usize, usize), threads: usize, shared: usize, args: &[Arg]) {
        let mut args = args.to_vec();
        let mut addresses: Vec<*mut c_void> = args
            .iter_mut()
            .map(|arg| match arg {
                Arg::Pointer(p) => (&raw mut *p).cast(),
                Arg::Int(n) => (&raw mut *n).cast(),
                Arg::Float(x) => (&raw mut *x).cast(),
            })
            .collect();
        let number = |n: usize| u32::try_from(n).unwrap();
        // SAFETY: the emulation checks what can be checked, and the tests compare what comes out.
        unsafe {
            let function = result::module::get_function(self.module, CString::new(name).unwrap()).unwrap();
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            result::function::set_function_attribute(function, attribute, i32::try_from(shared).unwrap())
                .unwrap();
            let blocks = (number(blocks.0), number(blocks.1), 1);
            let threads = (number(threads), 1, 1);
            result::launch_kernel(function, blocks, threads, number(shared), self.stream, &mut addresses)
                .unwrap();
            result::stream::synchronize(self.stream).unwrap();
        }
    }
}

/// Normally distributed, about, and rounded to halves: both sides of a comparison begin with the same numbers.
pub fn halves(count: usize, scale: f32) -> Vec<f16> {
    let one = || (0..4).map(|_| fastrand::f32() - 0.5).sum::<f32>() * scale * 1.7;
    (0..count).map(|_| f16::from_f32(one())).collect()
}

/// The same, in f32.
pub fn floats(count: usize, scale: f32) -> Vec<f32> {
    halves(count, scale).into_iter().map(f16::to_f32).collect()
}

/// The largest difference of any pair, relative to a scale.
pub fn difference(found: &[f16], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let scale = expected.iter().map(|x| x.abs()).fold(1e-3, f64::max);
    let pairs = found.iter().zip(expected).map(|(f, e)| (f64::from(f.to_f32()) - e).abs() / scale);
    pairs.fold(0.0, |most, d| if d.is_nan() || d > most { d } else { most })
}
