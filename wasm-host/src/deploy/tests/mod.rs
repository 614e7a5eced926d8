//! Systems that change while they run, natively.

mod client;
mod confirm;
mod disk;
mod guests;
mod memory;
mod refusals;
mod rollback;
mod state;
mod traffic;
mod volumes;

use super::{Deployment, Options, Outcome};
use crate::{
    image::Image,
    node::fixture::{Running, image, start_image, start_on},
    platform::fake::FakePlatform,
};
use alloc::{string::String, sync::Arc, vec::Vec};
use client::Client;

const SECOND: u64 = 1_000_000_000;

const SITE: &str = "[system]\nname = \"test\"\n\
    [box.client]\ncomponent = \"client\"\narrows.\"pearwood:http/handler\" = { box = \"site\" }\n\
    [box.site]\ncomponent = \"site\"\n";

/// A node with a client, which the test is, and other boxes.
struct World {
    running: Running,
    client: Client,
}

impl World {
    fn new(source: &str, components: &[(&str, Vec<u8>)]) -> Self {
        Self::on(FakePlatform::leak(), source, components)
    }

    fn on(platform: &'static FakePlatform, source: &str, components: &[(&str, Vec<u8>)]) -> Self {
        let components = with_client(components);
        let running = start_on(platform, source, &components, &["client"]).unwrap_or_else(|error| panic!("{error}"));
        Self::of(running)
    }

    /// The same of an image that there is.
    fn with_image(platform: &'static FakePlatform, image: Arc<Image<'static>>) -> Self {
        Self::of(start_image(platform, image, &["client"]).unwrap_or_else(|error| panic!("{error}")))
    }

    fn of(running: Running) -> Self {
        let client = Client::of(&running.node.find("client").unwrap());
        let mut world = World { running, client };
        world.until(|world| world.client.has_peer());
        world
    }

    /// Runs the node, with the client having its turn at all times, until something is so.
    fn until(&mut self, mut done: impl FnMut(&mut World) -> bool) {
        let (node, platform) = (self.running.node.clone(), self.running.platform);
        node.executor().run_until(platform, || {
            self.client.turn();
            done(self)
        });
    }

    fn deploy(&self, source: &str, components: &[(&str, Vec<u8>)]) -> Arc<Deployment> {
        self.deploy_with(source, components, options())
    }

    fn deploy_with(&self, source: &str, components: &[(&str, Vec<u8>)], options: Options) -> Arc<Deployment> {
        self.running.node.deploy(image(source, &with_client(components)), options).unwrap()
    }

    /// Runs until the deployment is over.
    fn over(&mut self, deployment: &Deployment) -> Outcome {
        self.until(|_| deployment.outcome().is_some());
        deployment.outcome().unwrap()
    }

    /// A whole request.
    fn ask(&mut self) -> (u16, Vec<u8>) {
        let before = self.client.answers.len();
        let request = self.client.begin();
        self.client.end(request);
        self.until(|world| world.client.open() == 0);
        assert_eq!(self.client.failures, Vec::<String>::new());
        self.client.answers[before].clone()
    }
}

fn options() -> Options {
    Options { by: "a test".into(), drain: 20 * SECOND, trial: SECOND, ready: 20 * SECOND, ..Options::default() }
}

fn with_client(components: &[(&str, Vec<u8>)]) -> Vec<(&'static str, Vec<u8>)> {
    let leak = |name: &str| -> &'static str { alloc::boxed::Box::leak(String::from(name).into_boxed_str()) };
    let mut all: Vec<(&'static str, Vec<u8>)> =
        components.iter().map(|(name, binary)| (leak(name), binary.clone())).collect();
    all.push(("client", guests::client()));
    all
}
