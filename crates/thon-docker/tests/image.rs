//! Images against a real engine: building, importing, bootstrapping, and registries that are not
//! there.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Mutex;

use bollard::query_parameters as query;
use support::{Node, image, unique};
use thon_core::adapter::FailureKind;
use thon_core::image::ImageRef;
use thon_docker::{BuildRequest, ContextFile, DockerError, IMAGE_INPUTS, Progress};

fn request(dockerfile: &str) -> BuildRequest {
    let name = unique("thon-test");
    BuildRequest {
        image: format!("{name}:latest").parse().unwrap(),
        dockerfile: "Dockerfile".to_owned(),
        context: vec![
            ContextFile {
                path: "Dockerfile".to_owned(),
                mode: 0o644,
                contents: dockerfile.as_bytes().to_vec(),
            },
            ContextFile {
                path: "image/tool.sh".to_owned(),
                mode: 0o755,
                contents: b"#!/bin/sh\necho \"thon-extension-missing: a.b: $1\"\n".to_vec(),
            },
        ],
        arguments: BTreeMap::from([("BASE_IMAGE".to_owned(), image().to_string())]),
        labels: BTreeMap::from([(IMAGE_INPUTS.to_owned(), "digest".to_owned())]),
        no_cache: true,
    }
}

async fn remove(node: &Node, image: &ImageRef) {
    let options = query::RemoveImageOptionsBuilder::default().force(true).build();
    drop(node.docker.remove_image(image.as_str(), Some(options), None).await);
}

#[tokio::test]
async fn an_image_is_built_from_memory_and_its_steps_are_told() {
    let node = Node::new();
    let request = request(
        "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nCOPY image/tool.sh /usr/local/lib/tool.sh\n\
         RUN /usr/local/lib/tool.sh 'no gallery answered'\n",
    );
    let name = request.image.clone();
    let told = Mutex::new(Vec::new());
    let tell = |step: Progress| told.lock().unwrap().push(step);
    let outcome = node.runtime.build_image(request, &tell).await;
    let info = node.runtime.image_info(&name).await.unwrap();
    let copy: ImageRef = format!("{}:copy", name.name_and_tag().0).parse().unwrap();
    node.runtime.tag_image(name.as_str(), &copy).await.unwrap();
    let copied = node.runtime.image_info(&copy).await.unwrap();
    remove(&node, &copy).await;
    remove(&node, &name).await;

    let (outcome, info) = (outcome.unwrap(), info.unwrap());
    assert_eq!(outcome.image_id, info.id);
    assert_eq!(copied.unwrap().id, info.id);
    assert_eq!(info.labels.get(IMAGE_INPUTS).map(String::as_str), Some("digest"));
    let missing = &outcome.missing_extensions[0];
    assert_eq!((missing.id.as_str(), missing.reason.as_str()), ("a.b", "no gallery answered"));
    let steps: Vec<_> = told.into_inner().unwrap();
    assert!(
        steps.iter().any(|step| step.text.starts_with("RUN ") && step.done.is_some()),
        "{steps:?}"
    );
    assert_eq!(node.runtime.image_info(&name).await.unwrap(), None, "it is gone again");
}

#[tokio::test]
async fn a_failing_step_is_named_with_what_it_wrote() {
    let node = Node::new();
    let mut request =
        request("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN echo the mirror is on fire && exit 7\n");
    // The engine counts a step of its own for them.
    request.labels.clear();
    let name = request.image.clone();
    let error = node.runtime.build_image(request, &|_| ()).await.unwrap_err();
    let DockerError::Build(build) = &error else { panic!("{error}") };
    assert_eq!(build.step.as_deref(), Some("3/3 RUN echo the mirror is on fire && exit 7"));
    assert!(build.output.iter().any(|line| line == "the mirror is on fire"), "{build:?}");
    assert!(!error.to_string().contains('\n'));
    assert_eq!(node.runtime.image_info(&name).await.unwrap(), None);
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_unreachable() {
    let node = Node::new();
    let nowhere: ImageRef = "127.0.0.1:1/nothing:latest".parse().unwrap();
    let error = node.runtime.pull_image(&nowhere, &|_| ()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unreachable, "{error}");
    let mut request = request("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n");
    request.arguments.insert("BASE_IMAGE".to_owned(), nowhere.to_string());
    let error = node.runtime.build_image(request, &|_| ()).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::Unreachable, "{error}");
}

#[tokio::test]
async fn a_root_file_system_becomes_an_image() {
    let node = Node::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base.tar");
    let mut builder = tar::Builder::new(std::fs::File::create(&path).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(6);
    builder.append_data(&mut header, "etc/hello", b"hello\n".as_slice()).unwrap();
    builder.into_inner().unwrap();

    let name: ImageRef = format!("{}:rootfs", unique("thon-test")).parse().unwrap();
    node.runtime.import_base(&path, &name).await.unwrap();
    let info = node.runtime.image_info(&name).await.unwrap();
    remove(&node, &name).await;
    assert_eq!(info.unwrap().size, 6);

    let missing = node.runtime.import_base(&folder.path().join("none.tar"), &name).await;
    assert_eq!(missing.unwrap_err().kind(), FailureKind::Missing);
}

#[tokio::test]
async fn a_base_image_comes_from_the_distributions_packages() {
    let node = Node::new();
    let base = node.runtime.bootstrap_base(&|_| ()).await.unwrap();
    assert!(base.as_str().starts_with("thon-base:"), "{base}");
    let first = node.runtime.image_info(&base).await.unwrap().unwrap();
    // What is there is used again.
    assert_eq!(node.runtime.bootstrap_base(&|_| ()).await.unwrap(), base);
    assert_eq!(node.runtime.image_info(&base).await.unwrap().unwrap().id, first.id);
}
