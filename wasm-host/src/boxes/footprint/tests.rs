use super::*;
use crate::plan::BoxPlan;

#[test]
fn a_box_pays_before_its_instance_is_made() {
    let spec = BoxPlan { memory: 4 << 20, ..BoxPlan::new("guest", "guest") };
    let platform = crate::platform::fake::FakePlatform::leak();
    let handle = BoxHandle::new(spec, super::super::Parts::default(), platform);
    handle.will_take(Footprint { instance: 20 << 20, has_wasi: false });
    let budget = budget(&handle);
    let before = budget.used();
    let error = pay(&handle, &budget, 0).unwrap_err();
    assert!(error.is::<NoRoom>());
    assert!(format!("{error}").starts_with("its memory limit of 4096 KiB leaves no room for an instance"), "{error}");
    assert_eq!(budget.used(), before);
}
