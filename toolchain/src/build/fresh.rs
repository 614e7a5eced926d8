//! Components of WASI 0.2 handlers whose instances can be made as new, so that a node need not make another instance for each
//! request.
//!
//! What an instance has that changes is its memory, its globals, its tables, and handles of resources. Given a component that
//! changes nothing else, the module that has the memory is given code of ours: in front of `handle` goes a function that sets
//! all globals to what they begin with, and `memory.grow` and `memory.size` count from the memory's first size again. The
//! memory's pages are put back by the node, which knows which of them were written. Handles that are left are for the node to
//! see, too.
//!
//! The component exports, beside its own,
//!
//! ```wit
//! pearwood-fresh: func() -> list<u8>;
//! ```
//!
//! with which a node says that it does so from now on, and is told where the whole memory is.

use anyhow::{Context, Result};
use std::borrow::Cow;
use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{
    Alias, CanonicalFunctionSection, CanonicalOption, CodeSection, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentTypeSection, ConstExpr, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, Instruction, MemArg, Module, PrimitiveValType, RawSection, TypeSection, ValType,
};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentType, ComponentTypeRef, ExternalKind, Instance, Operator, Parser,
    Payload, TypeRef, Validator, WasmFeatures,
};

/// What a component exports whose instances can be made as new.
const FRESH: &str = wasm_host::engine::FRESH;

/// The exports of modules that are lifted as a handler's `handle`.
const HANDLER: [&str; 2] = ["wasi:http/incoming-handler@0.2", "#handle"];

/// Where the module says where its memory is, for a moment.
const PLACE: u64 = 16;

const PAGE_BITS: i32 = 16;

/// The most pages that a memory can have.
const MOST_PAGES: i64 = 1 << 16;

/// The component, such that its instances can be made as new if that is possible.
///
/// # Errors
/// If it is no valid component.
pub fn prepare(component: &[u8]) -> Result<Cow<'_, [u8]>> {
    let same = Cow::Borrowed(component);
    // most have no such handler, and need not be looked at
    if !component.windows(HANDLER[0].len()).any(|bytes| bytes == HANDLER[0].as_bytes()) {
        return Ok(same);
    }
    let Some(outline) = Outline::read(component)? else { return Ok(same) };
    let prepared = outline.rewritten(component)?;
    Validator::new_with_features(WasmFeatures::all())
        .validate_all(&prepared)
        .context("it is not valid any more after it was made to be used again")?;
    Ok(Cow::Owned(prepared))
}

/// What has to be known of a component to change it.
struct Outline {
    stateful: Stateful,
    /// which of the component's modules that is, and which core instance is made of it
    module: u32,
    instance: u32,
    /// how many there are of each already
    core_functions: u32,
    core_memories: u32,
    functions: u32,
    types: u32,
}

impl Outline {
    /// None: its instances have a state that would be left.
    fn read(component: &[u8]) -> Result<Option<Self>> {
        let mut validator = Validator::new_with_features(WasmFeatures::all());
        let (mut modules, mut instances, mut depth) = (Vec::new(), Vec::new(), 0_u32);
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            if depth == 0
                && let Payload::End(_) = payload
            {
                let Some(types) = validator.types(0) else { return Ok(None) };
                let mut stateful = (0_u32..).zip(modules).filter_map(|(index, module)| Some((index, module?)));
                let (Some((module, stateful)), None) = (stateful.next(), stateful.next()) else { return Ok(None) };
                let mut own = (0_u32..).zip(&instances).filter(|(_, made)| **made == Some(module));
                let (Some((instance, _)), None) = (own.next(), own.next()) else { return Ok(None) };
                return Ok(Some(Outline {
                    stateful,
                    module,
                    instance,
                    core_functions: types.function_count(),
                    core_memories: types.memory_count(),
                    functions: types.component_function_count(),
                    types: types.component_type_count(),
                }));
            }
            validator.payload(&payload)?;
            match payload {
                Payload::End(_) => depth -= 1,
                Payload::ModuleSection { unchecked_range, .. } => {
                    if depth == 0 {
                        match Kind::of(&component[unchecked_range])? {
                            Kind::Stateless => modules.push(None),
                            Kind::Stateful(module) => modules.push(Some(module)),
                            Kind::Other => return Ok(None),
                        }
                    } else {
                        return Ok(None);
                    }
                    depth += 1;
                }
                Payload::ComponentSection { .. } => depth += 1,
                _ if depth > 0 => {}
                Payload::InstanceSection(section) => {
                    for instance in section {
                        instances.push(match instance? {
                            Instance::Instantiate { module_index, .. } => Some(module_index),
                            Instance::FromExports(_) => None,
                        });
                    }
                }
                // modules that come from elsewhere, and resources, whose destructors are code
                Payload::ComponentImportSection(section) => {
                    for import in section {
                        if matches!(import?.ty, ComponentTypeRef::Module(_)) {
                            return Ok(None);
                        }
                    }
                }
                Payload::ComponentAliasSection(section) => {
                    for alias in section {
                        if let ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. }
                        | ComponentAlias::Outer { .. } = alias?
                        {
                            return Ok(None);
                        }
                    }
                }
                Payload::ComponentTypeSection(section) => {
                    for ty in section {
                        if let ComponentType::Resource { .. } = ty? {
                            return Ok(None);
                        }
                    }
                }
                Payload::ComponentExportSection(section) => {
                    for export in section {
                        if export?.name.name == FRESH {
                            return Ok(None);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The component with the module changed, and one more export.
    fn rewritten(self, component: &[u8]) -> Result<Vec<u8>> {
        let mut whole = wasm_encoder::Component::new();
        let (mut modules, mut depth) = (0, 0_u32);
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload?;
            if depth == 0
                && let Some((id, range)) = payload.as_section()
            {
                let data = &component[range];
                let is_module = matches!(payload, Payload::ModuleSection { .. });
                if is_module && modules == self.module {
                    whole.section(&RawSection { id, data: &self.stateful.rewritten(data)? });
                } else {
                    whole.section(&RawSection { id, data });
                }
                modules += u32::from(is_module);
            }
            match payload {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) if depth > 0 => depth -= 1,
                _ => {}
            }
        }
        let mut aliases = ComponentAliasSection::new();
        for (kind, name) in [(ExportKind::Func, BEGIN), (ExportKind::Func, END), (ExportKind::Memory, MEMORY)] {
            aliases.alias(Alias::CoreInstanceExport { instance: self.instance, kind, name });
        }
        let mut types = ComponentTypeSection::new();
        types.defined_type().list(PrimitiveValType::U8);
        let list = wasm_encoder::ComponentValType::Type(self.types);
        types.function().params::<[(&str, wasm_encoder::ComponentValType); 0], _>([]).result(Some(list));
        let mut lifted = CanonicalFunctionSection::new();
        let options =
            [CanonicalOption::Memory(self.core_memories), CanonicalOption::PostReturn(self.core_functions + 1)];
        lifted.lift(self.core_functions, self.types + 1, options);
        let mut exports = ComponentExportSection::new();
        exports.export(FRESH, ComponentExportKind::Func, self.functions, None);
        whole.section(&aliases).section(&types).section(&lifted).section(&exports);
        Ok(whole.finish())
    }
}

/// What the changed module exports.
const BEGIN: &str = "pearwood-fresh";
const END: &str = "pearwood-fresh-end";
const MEMORY: &str = "pearwood-fresh-memory";

enum Kind {
    /// There is nothing in its instances that changes.
    Stateless,
    Stateful(Stateful),
    /// It has a state that cannot be put back.
    Other,
}

/// A module that has the only memory of a component, and the only globals that change.
struct Stateful {
    /// the number of pages at the start
    pages: u32,
    /// The globals that change, with their numbers.
    globals: Vec<(u32, Number)>,
    all_globals: u32,
    all_types: u32,
    /// with those that are imported
    all_functions: u32,
    /// the handler's function, its type, and how many parameters it has
    handle: (u32, u32, u32),
}

/// What a global begins with.
#[derive(Clone, Copy)]
enum Number {
    I32(i32),
    I64(i64),
    F32(wasmparser::Ieee32),
    F64(wasmparser::Ieee64),
}

impl Kind {
    fn of(module: &[u8]) -> Result<Self> {
        let (mut functions, mut types, mut parameters) = (Vec::new(), 0, Vec::new());
        let (mut pages, mut globals, mut all_globals, mut handle) = (None, Vec::new(), 0, None);
        let (mut imports_memory, mut uses_size) = (false, false);
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(section) => {
                    for ty in section.into_iter_err_on_gc_types() {
                        parameters.push(ty?.params().len() as u32);
                        types += 1;
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        match import?.ty {
                            TypeRef::Func(ty) => functions.push(ty),
                            TypeRef::Memory(_) => imports_memory = true,
                            TypeRef::Global(ty) if !ty.mutable => all_globals += 1,
                            TypeRef::Table(_) => {}
                            _ => return Ok(Kind::Other),
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    for ty in section {
                        functions.push(ty?);
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory?;
                        let first = u32::try_from(memory.initial)?;
                        let is_plain = !memory.memory64 && !memory.shared && memory.page_size_log2.is_none();
                        if !is_plain || first == 0 || pages.replace(first).is_some() {
                            return Ok(Kind::Other);
                        }
                    }
                }
                Payload::GlobalSection(section) => {
                    for global in section {
                        let global = global?;
                        if global.ty.mutable {
                            let mut reader = global.init_expr.get_operators_reader();
                            let number = match reader.read()? {
                                Operator::I32Const { value } => Number::I32(value),
                                Operator::I64Const { value } => Number::I64(value),
                                Operator::F32Const { value } => Number::F32(value),
                                Operator::F64Const { value } => Number::F64(value),
                                _ => return Ok(Kind::Other),
                            };
                            if !matches!(reader.read()?, Operator::End) {
                                return Ok(Kind::Other);
                            }
                            globals.push((all_globals, number));
                        }
                        all_globals += 1;
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        let is_handler = export.name.starts_with(HANDLER[0]) && export.name.ends_with(HANDLER[1]);
                        if export.kind == ExternalKind::Func && is_handler && handle.replace(export.index).is_some() {
                            return Ok(Kind::Other);
                        }
                    }
                }
                // it may do anything, before anybody looks
                Payload::StartSection { .. } | Payload::TagSection(_) => return Ok(Kind::Other),
                Payload::CodeSectionEntry(body) => {
                    let mut operators = body.get_operators_reader()?;
                    while !operators.eof() {
                        match operators.read()? {
                            Operator::TableSet { .. }
                            | Operator::TableGrow { .. }
                            | Operator::TableFill { .. }
                            | Operator::TableCopy { .. }
                            | Operator::TableInit { .. }
                            | Operator::ElemDrop { .. }
                            | Operator::DataDrop { .. } => return Ok(Kind::Other),
                            Operator::MemoryGrow { .. } | Operator::MemorySize { .. } => uses_size = true,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let Some(pages) = pages else {
            let stateless = globals.is_empty() && !(imports_memory && uses_size);
            return Ok(if stateless { Kind::Stateless } else { Kind::Other });
        };
        let handle = handle.and_then(|function| {
            let ty = *functions.get(function as usize)?;
            Some((function, ty, *parameters.get(ty as usize)?))
        });
        // without globals it would have no section for ours
        let (Some(handle), false, false) = (handle, imports_memory, globals.is_empty()) else { return Ok(Kind::Other) };
        let all_functions = u32::try_from(functions.len())?;
        Ok(Kind::Stateful(Stateful { pages, globals, all_globals, all_types: types, all_functions, handle }))
    }
}

impl Stateful {
    fn rewritten(&self, module: &[u8]) -> Result<Vec<u8>> {
        let mut rewritten = Module::new();
        Rewriter(self).parse_core_module(&mut rewritten, Parser::new(0), module)?;
        Ok(rewritten.finish())
    }
}

/// Adds what [`prepare`] says to a module, at the end of each of its sections.
struct Rewriter<'a>(&'a Stateful);

impl Rewriter<'_> {
    // globals

    /// how many pages the module has as it sees them
    fn size(&self) -> u32 {
        self.0.all_globals
    }

    /// whether each call of `handle` begins anew
    fn is_fresh(&self) -> u32 {
        self.0.all_globals + 1
    }

    /// what is at [`PLACE`]
    fn kept(&self) -> u32 {
        self.0.all_globals + 2
    }

    // functions

    fn fresh(&self) -> u32 {
        self.0.all_functions
    }

    fn grow(&self) -> u32 {
        self.0.all_functions + 1
    }

    fn begin(&self) -> u32 {
        self.0.all_functions + 2
    }

    fn end(&self) -> u32 {
        self.0.all_functions + 3
    }
}

type Done = Result<(), reencode::Error>;

impl Reencode for Rewriter<'_> {
    type Error = std::convert::Infallible;

    fn parse_type_section(&mut self, types: &mut TypeSection, section: wasmparser::TypeSectionReader<'_>) -> Done {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I32], [ValType::I32]);
        types.ty().function([], [ValType::I32]);
        types.ty().function([ValType::I32], []);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: wasmparser::FunctionSectionReader<'_>,
    ) -> Done {
        utils::parse_function_section(self, functions, section)?;
        let first = self.0.all_types;
        functions.function(self.0.handle.1).function(first).function(first + 1).function(first + 2);
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Done {
        utils::parse_global_section(self, globals, section)?;
        let ty = |val_type| GlobalType { val_type, mutable: true, shared: false };
        globals.global(ty(ValType::I32), &ConstExpr::i32_const(self.0.pages as i32));
        globals.global(ty(ValType::I32), &ConstExpr::i32_const(0));
        globals.global(ty(ValType::I64), &ConstExpr::i64_const(0));
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Done {
        for export in section {
            let export = export?;
            if export.kind == ExternalKind::Func && export.index == self.0.handle.0 {
                exports.export(export.name, ExportKind::Func, self.fresh());
            } else {
                self.parse_export(exports, export)?;
            }
        }
        exports.export(BEGIN, ExportKind::Func, self.begin());
        exports.export(END, ExportKind::Func, self.end());
        exports.export(MEMORY, ExportKind::Memory, 0);
        Ok(())
    }

    fn instruction<'a>(&mut self, operator: Operator<'a>) -> Result<Instruction<'a>, reencode::Error> {
        match operator {
            Operator::MemoryGrow { .. } => Ok(Instruction::Call(self.grow())),
            Operator::MemorySize { .. } => Ok(Instruction::GlobalGet(self.size())),
            other => utils::instruction(self, other),
        }
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: wasmparser::CodeSectionReader<'_>) -> Done {
        utils::parse_code_section(self, code, section)?;
        code.function(&self.fresh_handle()).function(&self.bounded_grow()).function(&self.say_where());
        code.function(&self.put_back());
        Ok(())
    }
}

impl Rewriter<'_> {
    /// Begins anew, if that was asked for, and calls the handler.
    fn fresh_handle(&self) -> Function {
        let (handle, _, parameters) = self.0.handle;
        let mut function = Function::new([]);
        let mut code = function.instructions();
        code.global_get(self.is_fresh()).if_(wasm_encoder::BlockType::Empty);
        for &(global, number) in &self.0.globals {
            match number {
                Number::I32(value) => code.i32_const(value),
                Number::I64(value) => code.i64_const(value),
                Number::F32(value) => code.f32_const(wasm_encoder::Ieee32::new(value.bits())),
                Number::F64(value) => code.f64_const(wasm_encoder::Ieee64::new(value.bits())),
            };
            code.global_set(global);
        }
        code.i32_const(self.0.pages as i32).global_set(self.size()).end();
        (0..parameters).for_each(|parameter| {
            code.local_get(parameter);
        });
        code.call(handle).end();
        function
    }

    /// `memory.grow`, of a memory that may have grown for an earlier request.
    fn bounded_grow(&self) -> Function {
        let (more, wanted) = (0, 1);
        let mut function = Function::new([(1, ValType::I64)]);
        let mut code = function.instructions();
        code.global_get(self.size()).i64_extend_i32_u().local_get(more).i64_extend_i32_u().i64_add().local_set(wanted);
        let refuse = |code: &mut wasm_encoder::InstructionSink<'_>| {
            code.if_(wasm_encoder::BlockType::Empty).i32_const(-1).return_().end();
        };
        code.local_get(wanted).i64_const(MOST_PAGES).i64_gt_u();
        refuse(&mut code);
        code.local_get(wanted).memory_size(0).i64_extend_i32_u().i64_gt_u().if_(wasm_encoder::BlockType::Empty);
        code.local_get(wanted).i32_wrap_i64().memory_size(0).i32_sub().memory_grow(0).i32_const(-1).i32_eq();
        refuse(&mut code);
        code.end();
        code.global_get(self.size()).local_get(wanted).i32_wrap_i64().global_set(self.size()).end();
        function
    }

    /// From now on each call of the handler begins anew. Says where the memory is: a pointer and a length.
    fn say_where(&self) -> Function {
        let at = |offset| MemArg { offset, align: 2, memory_index: 0 };
        let mut function = Function::new([]);
        let mut code = function.instructions();
        code.i32_const(1).global_set(self.is_fresh());
        code.i32_const(0).i64_load(MemArg { align: 3, ..at(PLACE) }).global_set(self.kept());
        code.i32_const(0).i32_const(0).i32_store(at(PLACE));
        code.i32_const(0).memory_size(0).i32_const(PAGE_BITS).i32_shl().i32_store(at(PLACE + 4));
        code.i32_const(PLACE as i32).end();
        function
    }

    /// What was there where that was said.
    fn put_back(&self) -> Function {
        let mut function = Function::new([]);
        let mut code = function.instructions();
        code.i32_const(0).global_get(self.kept()).i64_store(MemArg { offset: PLACE, align: 3, memory_index: 0 }).end();
        function
    }
}

#[cfg(test)]
mod tests;
